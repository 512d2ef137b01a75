"""Housekeeping: what is safely here goes from the hosts, and what is old goes from here."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import anyio

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, LedgerError
from picoclaw_fleet.jobs.board import Board
from picoclaw_fleet.jobs.ledger import Ledger
from picoclaw_fleet.jobs.output import OutputStore
from picoclaw_fleet.transport import Pool
from picoclaw_fleet.worker import contract

logger = logging.getLogger(__name__)

ROUND_SECONDS = 10.0
REST_SECONDS = 300.0
"""How long a host is let be that could not be cleared: it may be away for weeks, and nothing is urgent about this."""

KEPT_FOR = timedelta(days=30)
KEPT_BYTES = 2 << 30

_AT_ONCE = 200  # ids in one command line: 3 KB
_OLD_EVERY_ROUNDS = 360


class Housekeeping:
    """Removes what nobody needs any more, a little behind the work.

    Args:
        pool: The connections.
        board: How the hosts are; those out of reach have to wait.
        ledger: The jobs.
        outputs: Their outputs.
        host: Finds a host by name; None when the config has it no more.
    """

    def __init__(
        self, *, pool: Pool, board: Board, ledger: Ledger, outputs: OutputStore, host: Callable[[str], Host | None]
    ) -> None:
        self._pool = pool
        self._board = board
        self._ledger = ledger
        self._outputs = outputs
        self._host = host
        self._rests_until: dict[str, float] = {}

    async def run(self) -> None:
        """Goes round again and again; never returns."""
        rounds = 0
        while True:
            try:
                if rounds % _OLD_EVERY_ROUNDS == 0:
                    await self.remove_old()
                    self._board.forget_strangers(self._host)
                await anyio.sleep(ROUND_SECONDS)
                await self.clear_hosts()
            except LedgerError as error:
                logger.error("%s", error)
            except Exception:
                # A fault of ours must not end the whole server.
                logger.exception("A round of housekeeping broke off")
            rounds += 1

    async def clear_hosts(self) -> None:
        """Has hosts forget the jobs whose output is here."""
        by_host = await self._ledger.on_hosts()
        asked = {name: where for name in by_host if (where := self._where(name)) is not None}
        # Before any is asked, and in one thread: each of many keeps the others, and the event loop, from getting on.
        durable = await asyncio.to_thread(self._outputs.make_durable, [job for name in asked for job in by_host[name]])
        cleared: list[str] = []
        async with anyio.create_task_group() as tasks:
            for name, where in asked.items():
                tasks.start_soon(self._clear, *where, [job for job in by_host[name] if job in durable], cleared)
        # What isn't noted, because this process ends before that, is asked for again.
        if cleared:
            await self._ledger.note_cleared(cleared)

    async def remove_old(self) -> None:
        """Removes finished jobs above 30 days, and the oldest ones while all outputs are above 2 GB."""
        finished = await self._ledger.finished_sizes()
        limit = datetime.now(UTC) - KEPT_FOR
        excess = sum(size for _, _, size in finished) - KEPT_BYTES
        old: list[str] = []
        for job_id, ended, size in finished:
            if ended < limit or (excess > 0 and size > 0):
                old.append(job_id)
                excess -= size
        await asyncio.to_thread(self._outputs.remove, old)
        await self._ledger.remove(old)

    def _where(self, name: str) -> tuple[Host, str] | None:
        """The host of that name, and its own name for itself; None where it can't be asked now."""
        with _apart(name):
            host = self._host(name)
            view = self._board.view(host) if host is not None else None
            rests = self._rests_until.get(name, 0.0) > time.monotonic()
            if view is not None and view.facts is not None and not view.left_alone and not rests:
                return view.host, view.facts.name
        return None

    async def _clear(self, host: Host, own_name: str, job_ids: list[str], cleared: list[str]) -> None:
        with _apart(host.name):
            for start in range(0, len(job_ids), _AT_ONCE):
                some = job_ids[start : start + _AT_ONCE]
                await contract.forget(self._pool, host, own_name, some)
                cleared += some
            return
        self._rests_until[host.name] = time.monotonic() + REST_SECONDS


@contextmanager
def _apart(name: str) -> Generator[None]:
    """What goes wrong with one host must not keep the others from being cleared."""
    try:
        yield
    except HostError as error:
        logger.info("%s", error)
    except Exception:
        logger.exception("%s can't be cleared", name)
