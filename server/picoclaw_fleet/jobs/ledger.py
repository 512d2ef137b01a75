"""The ledger: the controller's store of jobs, which outlives this process.

Several processes share one. A job is held by the process that brings it to its end; the others read. Changes are
written behind the back of those who make them, many in one transaction; `committed` waits for that where it matters.
The truth about a job that was sent is on its host: what the ledger says of it is what was last heard.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import anyio

from picoclaw_fleet.errors import LedgerError, State, UsageError
from picoclaw_fleet.jobs.database import Database
from picoclaw_fleet.jobs.holder import Holder
from picoclaw_fleet.jobs.model import Job
from picoclaw_fleet.jobs.rows import INSERT, INSERT_CHOICE, SELECT, UPDATE, change_of, choices_of, job_of, row_of

logger = logging.getLogger(__name__)

FOREIGN_POLL_SECONDS = 0.5
"""How often a job of another process is looked at while somebody waits for it."""

_RETRY_SECONDS = 5.0
_BEYOND_ALL = 1 << 62  # SQLite knows no greater numbers than of 64 bits
_TROUBLE_FIRST = (
    "ORDER BY CASE state WHEN 'failed' THEN 0 WHEN 'lost' THEN 0 WHEN 'timed_out' THEN 1 WHEN 'cancelled' THEN 1 "
    "WHEN 'running' THEN 2 WHEN 'queued' THEN 3 ELSE 4 END, number "
)
_IN_SCOPE = "(job_id = ? OR batch_id = ?) "


class Ledger:
    """Jobs by id.

    A scope is the id of a job or of a batch.

    Args:
        file: The ledger's file; made by the first call that needs it.
    """

    def __init__(self, file: Path) -> None:
        self._database = Database(file)
        self._holder = Holder(file.with_suffix(".holders"))
        self._held: dict[str, Job] = {}
        self._open: Counter[str] = Counter()
        self._dirty: dict[str, Job] = {}
        self._stopped_by_others = set[str]()
        self._commits: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()

    async def open(self) -> None:
        """Makes this process known to the others; any other call may only follow.

        Raises:
            LedgerError: The ledger can't be used. It is left as it is.
        """
        await self._database.rows("SELECT 1")
        try:
            await asyncio.to_thread(self._holder.begin)
        except OSError as error:
            raise LedgerError(f"The ledger's folder can't be written to: {error}.") from error

    async def aclose(self) -> None:
        """Writes what is still to be written, and closes the ledger."""
        try:
            await self.committed()
        except LedgerError as error:
            logger.error("%s", error)
        self._cancel_retry()
        await asyncio.to_thread(self._database.close)
        await asyncio.to_thread(self._holder.end)

    # --- jobs of this process

    async def add(self, jobs: Sequence[Job]) -> None:
        """Takes in new jobs, all or none, and holds them.

        Raises:
            LedgerError: None was taken in.
        """
        for job in jobs:
            job.origin = job.holder = self._holder.name

        def insert(connection: sqlite3.Connection) -> None:
            connection.executemany(INSERT_CHOICE, choices_of(jobs))
            connection.executemany(INSERT, map(row_of, jobs))

        await self._database.run(insert)
        for job in jobs:
            self._hold(job)

    def record(self, job: Job) -> None:
        """Notes that a job held here has changed, and tells those who wait. It is written soon."""
        if job.state.finished and self._held.pop(job.job_id, None) is not None:
            self._discount(job)
            self._stopped_by_others.discard(job.job_id)
        self._dirty[job.job_id] = job
        self._commit_soon()
        self._tell()

    async def committed(self) -> None:
        """Waits until all that was recorded so far is written, and for nothing that is recorded meanwhile.

        Raises:
            LedgerError: It could not be written. It is tried again.
        """
        unwritten = bool(self._dirty)
        if self._commits is not None and not self._commits.done():
            # It may have begun before the last changes.
            await asyncio.shield(self._commits)
        if unwritten:
            self._commit_soon()
            assert self._commits is not None
            await asyncio.shield(self._commits)

    async def take_over(self, jobs: Sequence[Job]) -> list[Job]:
        """Holds jobs whose holder is gone; only one process gets each of them.

        Returns:
            Those that are ours now.
        """
        name = self._holder.name
        statement = "UPDATE jobs SET holder = ? WHERE job_id = ? AND holder = ? AND finished_at IS NULL"

        def take(connection: sqlite3.Connection) -> list[Job]:
            return [job for job in jobs if connection.execute(statement, (name, job.job_id, job.holder)).rowcount]

        taken = await self._database.run(take) if jobs else []
        for job in taken:
            job.holder = name
            self._hold(job)
        return taken

    def release(self, job: Job) -> None:
        """Leaves a job to whoever asks for it next."""
        job.holder = ""
        self.record(job)
        if self._held.pop(job.job_id, None) is not None:
            self._discount(job)

    def holds(self, job: Job) -> bool:
        """Whether this process brings the job to its end."""
        return job.job_id in self._held

    # --- looking up

    async def job(self, job_id: str, owner: str = "") -> Job:
        """The job of that id, as last heard.

        Args:
            job_id: Its id.
            owner: Whose it has to be; another's is as good as none. Empty: anyone's.

        Raises:
            UsageError: There is none.
            LedgerError: The ledger can't be read.
        """
        found = [self._held[job_id]] if job_id in self._held else await self._select("WHERE job_id = ?", job_id)
        if not found or (owner and found[0].owner != owner):
            raise _unknown("job", job_id)
        return found[0]

    async def latest(self, jobs: Sequence[Job]) -> list[Job]:
        """The same jobs, as last heard; without those that are forgotten meanwhile."""

        def read(connection: sqlite3.Connection) -> list[Any]:
            query = f"{SELECT} WHERE job_id = ?"
            rows = [connection.execute(query, (job.job_id,)).fetchone() for job in jobs]
            return [row for row in rows if row is not None]

        await self.committed()
        return self._jobs_of(await self._database.run(read))

    async def counts(self, batch_id: str, owner: str = "") -> Counter[State]:
        """How many jobs of a batch are in each state.

        Args:
            batch_id: The batch.
            owner: Whose it has to be; another's is as good as none. Empty: anyone's.

        Raises:
            UsageError: There is no such batch.
            LedgerError: The ledger can't be read.
        """
        await self.committed()
        query = (
            "SELECT state, count(*) FROM jobs WHERE batch_id = ? AND batch_id != '' AND ? IN ('', owner) GROUP BY state"
        )
        rows = await self._database.rows(query, (batch_id, owner))
        if not rows:
            raise _unknown("batch", batch_id)
        return Counter({State(state): count for state, count in rows})

    async def trouble_first(self, batch_id: str, limit: int, offset: int = 0) -> list[Job]:
        """Jobs of a batch: those that failed, then those under way, then the rest."""
        query = f"WHERE batch_id = ? {_TROUBLE_FIRST} LIMIT ? OFFSET ?"
        return await self._select(query, batch_id, limit, min(offset, _BEYOND_ALL))

    async def unsuccessful(self, batch_id: str) -> list[Job]:
        """The jobs of a batch that have ended, but not well."""
        return await self._select(
            "WHERE batch_id = ? AND finished_at IS NOT NULL AND state != 'succeeded' ORDER BY number", batch_id
        )

    async def page(
        self, *, state: str = "", host: str = "", batch_id: str = "", owner: str = "", offset: int = 0, limit: int = 20
    ) -> tuple[list[Job], int]:
        """Jobs, newest first, and how many there are; an empty argument does not narrow them."""
        wanted = {"state": state, "host": host, "batch_id": batch_id, "owner": owner}
        given = {column: value for column, value in wanted.items() if value}
        clause = "WHERE " + " AND ".join(["1", *(f"{column} = ?" for column in given)])
        span = min(limit, _BEYOND_ALL), min(offset, _BEYOND_ALL)

        def read(connection: sqlite3.Connection) -> tuple[list[Any], int]:
            page = connection.execute(
                f"{SELECT} {clause} ORDER BY number DESC LIMIT ? OFFSET ?", (*given.values(), *span)
            )
            rows = page.fetchall()
            ((total,),) = connection.execute(f"SELECT count(*) FROM jobs {clause}", list(given.values()))  # noqa: S608
            return rows, total

        await self.committed()
        rows, total = await self._database.run(read)
        return self._jobs_of(rows), total

    async def unfinished(self, scope: str) -> list[Job]:
        """The jobs of a scope that are queued or running."""
        return await self._select(f"WHERE finished_at IS NULL AND {_IN_SCOPE} ORDER BY number", scope, scope)

    async def count_unfinished(self, scope: str) -> int:
        """How many jobs of a scope are queued or running."""
        if self._is_ours(scope):
            return max(self._open[scope], 1)
        await self.committed()
        query = f"SELECT count(*) FROM jobs WHERE finished_at IS NULL AND {_IN_SCOPE}"  # noqa: S608
        ((count,),) = await self._database.rows(query, (scope, scope))
        return count

    async def change(self, scope: str) -> None:
        """Waits until a job changes here, or one of that scope may have changed in another process."""
        with anyio.move_on_after(None if self._is_ours(scope) else FOREIGN_POLL_SECONDS):
            await self._changed.wait()

    # --- what processes leave to each other

    async def orphans(
        self, *, sent: bool, scope: str = "", before: datetime | None = None, to_stop: bool = False
    ) -> list[Job]:
        """Unfinished jobs whose holder is dead.

        Args:
            sent: Those that may be on a host, or those that are not.
            scope: Only of that job or batch.
            before: Only those taken in before.
            to_stop: Only those that are to be stopped.
        """
        clause, values = "WHERE finished_at IS NULL AND sent = ?", [sent]
        if to_stop:
            clause += " AND stop_wanted = 1"
        if scope:
            clause, values = f"{clause} AND {_IN_SCOPE}", [*values, scope, scope]
        if before is not None:
            clause, values = f"{clause} AND created_at < ?", [*values, before.isoformat()]
        dead = await self._dead_holders()
        return [job for job in await self._select(clause, *values) if job.holder in dead] if dead else []

    async def want_stop(self, jobs: Iterable[Job]) -> None:
        """Leaves word, for whoever holds them, that jobs are to be stopped."""
        values = [(job.job_id,) for job in jobs]
        statement = "UPDATE jobs SET stop_wanted = 1 WHERE job_id = ?"
        await self._database.change_many(statement, values)

    async def stops_wanted(self) -> list[Job]:
        """Jobs held here that another process wants stopped."""
        query = "SELECT job_id FROM jobs WHERE finished_at IS NULL AND stop_wanted = 1 AND holder = ?"
        rows = await self._database.rows(query, (self._holder.name,))
        held = [self._held[job_id] for (job_id,) in rows if job_id in self._held]
        return [job for job in held if not job.stop_wanted]

    def is_to_stop(self, job: Job) -> bool:
        """Whether a job held here is to be stopped, as this process wishes, or another one when it was last written."""
        return job.stop_wanted or job.job_id in self._stopped_by_others

    # --- what callers have seen

    async def news(self, owner: str, awaited: Iterable[str] = ()) -> list[Job]:
        """Finished jobs whose owner has not seen their end: ours, and those of processes that are dead.

        Each is returned once.

        Args:
            owner: Whose.
            awaited: Scopes that another call is about to return.
        """
        others = set(awaited)

        def tell(connection: sqlite3.Connection) -> list[Any]:
            origins = connection.execute("SELECT DISTINCT origin FROM jobs WHERE told = 0 AND finished_at IS NOT NULL")
            ours = [name for (name,) in origins.fetchall() if name == self._holder.name or not self._holder.alive(name)]
            marks = ", ".join("?" * len(ours))
            clause = f"WHERE told = 0 AND finished_at IS NOT NULL AND owner = ? AND origin IN ({marks}) ORDER BY number"
            rows = connection.execute(f"{SELECT} {clause}", [owner, *ours]).fetchall()
            untold = [row for row in rows if others.isdisjoint(row[:2])]  # its id, and its batch's
            # Another process may be telling the same at this moment.
            statement = "UPDATE jobs SET told = 1 WHERE job_id = ? AND told = 0"
            return [row for row in untold if connection.execute(statement, row[:1]).rowcount]

        await self.committed()
        return self._jobs_of(await self._database.run(tell))

    async def note_told(self, job_id: str) -> None:
        """Notes that a caller has seen the end of a job."""
        await self._database.change("UPDATE jobs SET told = 1 WHERE job_id = ?", (job_id,))

    async def note_batch_told(self, batch_id: str, owner: str) -> None:
        """Notes that the owner of a batch has seen what has ended of it."""
        statement = "UPDATE jobs SET told = 1 WHERE batch_id = ? AND owner = ? AND told = 0 AND finished_at IS NOT NULL"
        await self._database.change(statement, (batch_id, owner))

    # --- what can go

    async def on_hosts(self) -> dict[str, list[str]]:
        """By host, the finished jobs whose files there are safely here as well."""
        await self.committed()
        query = "SELECT host, job_id FROM jobs WHERE on_host = 1 AND finished_at IS NOT NULL"
        by_host: dict[str, list[str]] = {}
        for host, job_id in await self._database.rows(query):
            by_host.setdefault(host, []).append(job_id)
        return by_host

    async def note_cleared(self, job_ids: Sequence[str]) -> None:
        """Notes that the host has no more files of jobs."""
        values = [(job_id,) for job_id in job_ids]
        await self._database.change_many("UPDATE jobs SET on_host = 0 WHERE job_id = ?", values)

    async def finished_sizes(self) -> list[tuple[str, datetime, int]]:
        """Id, end and output size in bytes of all finished jobs, the oldest first."""
        query = "SELECT job_id, finished_at, output_bytes FROM jobs WHERE finished_at IS NOT NULL ORDER BY finished_at"
        return [(job_id, datetime.fromisoformat(at), size) for job_id, at, size in await self._database.rows(query)]

    async def remove(self, job_ids: Sequence[str]) -> None:
        """Forgets jobs that have ended."""
        values = [(job_id,) for job_id in job_ids]

        def delete(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM jobs WHERE job_id = ?", values)
            connection.execute("DELETE FROM choices WHERE digest NOT IN (SELECT choice FROM jobs)")

        await self._database.run(delete)

    # --- within

    def _hold(self, job: Job) -> None:
        self._held[job.job_id] = job
        if self._counts_in_batch(job):
            self._open[job.batch_id] += 1

    def _discount(self, job: Job) -> None:
        if self._counts_in_batch(job):
            self._open[job.batch_id] -= 1
            if not self._open[job.batch_id]:
                del self._open[job.batch_id]

    def _counts_in_batch(self, job: Job) -> bool:
        """A batch that was taken in here is held here as a whole; of any other, others may hold jobs."""
        return bool(job.batch_id) and job.origin == self._holder.name

    def _is_ours(self, scope: str) -> bool:
        return scope in self._held or self._open[scope] > 0

    def _tell(self) -> None:
        self._changed.set()
        self._changed.clear()

    async def _select(self, clause: str, *values: Any) -> list[Job]:
        """The jobs that a clause picks."""
        await self.committed()
        return self._jobs_of(await self._database.rows(SELECT + clause, values))

    def _jobs_of(self, rows: Iterable[Any]) -> list[Job]:
        """The jobs of rows that SELECT gave; those held here are the very objects."""
        return [self._held.get(row[0]) or job_of(row) for row in rows]

    async def _dead_holders(self) -> set[str]:
        rows = await self._database.rows("SELECT DISTINCT holder FROM jobs WHERE finished_at IS NULL")
        return await self._dead([name for (name,) in rows])

    async def _dead(self, names: Sequence[str]) -> set[str]:
        others = [name for name in names if name != self._holder.name]
        if not others:
            return set()
        try:
            return await asyncio.to_thread(lambda: {name for name in others if not self._holder.alive(name)})
        except OSError as error:
            raise LedgerError(f"Which processes are alive can't be told: {error}.") from error

    async def _commit(self) -> None:
        jobs, self._dirty = self._dirty, {}
        rows = [change_of(job, self._holder.name) for job in jobs.values()]
        try:
            to_stop = await self._database.run(partial(_write, rows, list(jobs)))
        except LedgerError:
            self._dirty = {**jobs, **self._dirty}
            self._cancel_retry()
            self._retry = asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._commit_soon)
            raise
        self._stopped_by_others |= to_stop & self._held.keys()

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()

    def _commit_soon(self) -> None:
        if self._dirty and (self._commits is None or self._commits.done()):
            self._commits = asyncio.create_task(self._commit())
            self._commits.add_done_callback(self._go_on)

    def _go_on(self, commits: asyncio.Task[None]) -> None:
        # Who waits in `committed` gets the error; where nobody does, the next try will tell.
        if not commits.cancelled() and commits.exception() is None:
            self._commit_soon()


def _write(rows: Sequence[Any], job_ids: Sequence[str], connection: sqlite3.Connection) -> set[str]:
    """Writes changes. Returns which of the jobs are to be stopped: to ask for each by itself takes as long again."""
    connection.executemany(UPDATE, rows)
    query = "SELECT stop_wanted FROM jobs WHERE job_id = ?"
    return {job_id for job_id in job_ids if connection.execute(query, (job_id,)).fetchone() == (1,)}


def _unknown(kind: str, wanted: str) -> UsageError:
    next_step = "`jobs` lists those that there are; finished ones are kept for 30 days."
    other = {"b_": "batch", "j_": "job"}.get(wanted[:2], kind)
    if other != kind:
        next_step = f"That is the id of a {other}: give it as {other}_id."
    return UsageError(f"There is no {kind} {wanted[:80]!r}.", next_step=next_step)
