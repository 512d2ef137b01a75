"""The SQLite file behind the ledger: one connection, used in threads, made by the first who needs it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from anyio import CancelScope, to_thread

from picoclaw_fleet.errors import LedgerError
from picoclaw_fleet.folder_lock import alone_in
from picoclaw_fleet.jobs.schema import migrate

T = TypeVar("T")

_BUSY_SECONDS = 10.0


class Database:
    """One SQLite file in WAL mode, which several processes may have open.

    Args:
        file: Made with mode 0600 where it is missing.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Does some work in one transaction.

        Who is cancelled meanwhile learns it afterwards: nothing is written without the caller's knowing.

        Raises:
            LedgerError: The file can't be opened, read or written, or is damaged. It is left as it is.
        """
        return await _to_the_end(asyncio.create_task(to_thread.run_sync(self._run, work)))

    async def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query; errors as in `run`."""
        return await self.run(lambda connection: connection.execute(query, values).fetchall())

    async def change(self, statement: str, values: Sequence[Any]) -> None:
        """Executes a statement; errors as in `run`."""
        await self.change_many(statement, [values])

    async def change_many(self, statement: str, rows: Iterable[Any]) -> None:
        """Executes a statement for each row of values, all or none; errors as in `run`."""

        # The cursor must not leave the thread: SQLite takes its late end for a misuse of the connection.
        def change(connection: sqlite3.Connection) -> None:
            connection.executemany(statement, rows)

        await self.run(change)

    def close(self) -> None:
        """Closes the file. Blocks."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with self._lock:
            try:
                if self._connection is None:
                    self._connection = self._connect()
                with self._connection:
                    return work(self._connection)
            except OSError as error:
                raise LedgerError(
                    f"The ledger {self._file} can't be used: {error.strerror or error}.",
                    next_step="Jobs on hosts go on. Make room in its folder, and see that it can be written to, "
                    "or name another folder with PICOCLAW_FLEET_STATE_DIR.",
                ) from error
            except (sqlite3.Error, ValueError) as error:
                raise LedgerError(
                    f"The ledger {self._file} can't be used: {error}.",
                    next_step="Jobs on hosts go on. Free some space; if the file is damaged move it away, and a new "
                    "one is made.",
                ) from error

    def _connect(self) -> sqlite3.Connection:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file.touch(mode=0o600)
        connection = sqlite3.connect(self._file, timeout=_BUSY_SECONDS, check_same_thread=False)
        try:
            # Where several do that to a new file at once, SQLite has no patience, and some would be refused.
            with alone_in(self._file.parent):
                connection.execute("PRAGMA journal_mode = WAL")
                migrate(connection)
        except BaseException:
            connection.close()
            raise
        return connection


async def _to_the_end(work: asyncio.Task[T]) -> T:
    """The outcome of some work, also for who is cancelled meanwhile: he is cancelled at his next step instead."""
    caller = asyncio.current_task()
    assert caller is not None
    is_cancelled = False
    with CancelScope(shield=True):  # holds off what anyio cancels, but not what asyncio does
        while not work.done():
            try:
                await asyncio.wait({work})
            except asyncio.CancelledError:
                is_cancelled = True
    if is_cancelled:
        caller.uncancel()
        caller.cancel()
    return work.result()
