"""Adoption: bringing to their end the jobs that a process left behind when it died."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import anyio
from anyio.abc import TaskGroup

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import FleetError, HostError, LedgerError, Reason
from picoclaw_fleet.jobs.board import FRESH_SECONDS, Board
from picoclaw_fleet.jobs.ledger import Ledger
from picoclaw_fleet.jobs.model import Job
from picoclaw_fleet.jobs.watch import JobWatch

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""How often it is looked whether another process has died, or wants a job of ours stopped."""

QUEUED_AT_MOST = timedelta(hours=24)
"""After this time a queued job that nobody holds is cancelled: nobody expects it to start any more."""

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0


class _Pause(NamedTuple):
    """For how long, and until when by `time.monotonic()`, a job is left to other processes."""

    seconds: float
    until: float


class Adoption:
    """Watches over jobs that other processes have left, and over wishes that they have left for ours.

    Args:
        ledger: Where the jobs are.
        board: How their hosts are.
        watch: Stays with a job.
        host: Finds a host by name; None when the config has it no more.
        stop: Is told of a job of ours that another process wants stopped.
        take_back: Is given a job that never came to its host.
    """

    def __init__(
        self,
        *,
        ledger: Ledger,
        board: Board,
        watch: JobWatch,
        host: Callable[[str], Host | None],
        stop: Callable[[Job], None],
        take_back: Callable[[Job], None],
    ) -> None:
        self._ledger = ledger
        self._board = board
        self._watch = watch
        self._host = host
        self._stop = stop
        self._take_back = take_back
        self._pauses: dict[str, _Pause] = {}

    async def run(self) -> None:
        """Looks again and again; never returns."""
        async with anyio.create_task_group() as tasks:
            while True:
                try:
                    await self._look(tasks)
                except LedgerError as error:
                    logger.error("%s", error)
                except Exception:
                    # A fault of ours must not end the whole server.
                    logger.exception("Looking for what others have left broke off")
                await anyio.sleep(LOOK_SECONDS)

    async def _look(self, tasks: TaskGroup) -> None:
        for job in await self._ledger.take_over(self._due(await self._ledger.orphans(sent=True))):
            tasks.start_soon(self._bring_home, job)
        for job in await self._ledger.stops_wanted():
            self._stop(job)
        for job in await self._ledger.take_over(await self._ledger.orphans(sent=False, to_stop=True)):
            self._stop(job)
        yesterday = datetime.now(UTC) - QUEUED_AT_MOST
        for job in await self._ledger.take_over(await self._ledger.orphans(sent=False, before=yesterday)):
            if job.host:
                self._stop(job)
            else:
                job.cancel("It was queued for a day, and nobody asked for it.")
                self._ledger.record(job)

    async def _bring_home(self, job: Job) -> None:
        try:
            while job.sent and not job.state.finished:
                await self._resume(job)
        except FleetError as error:
            job.note_silence(str(error))
            self._leave_to_others(job)
            return
        except Exception:
            # A fault of ours with one job must not take all others down with it.
            logger.exception("job %s can't be brought home", job.job_id)
            self._leave_to_others(job)
            return
        self._pauses.pop(job.job_id, None)
        if not job.state.finished:
            try:
                self._take_back(job)
            except Exception:
                logger.exception("job %s can't be taken back", job.job_id)
                self._ledger.release(job)

    def _leave_to_others(self, job: Job) -> None:
        """Gives a job up for a growing time: a process with another config, key or environment may do better."""
        last = self._pauses.get(job.job_id)
        seconds = min(2 * last.seconds, _LONGEST_PAUSE_SECONDS) if last else _FIRST_PAUSE_SECONDS
        self._pauses[job.job_id] = _Pause(seconds, time.monotonic() + seconds)
        self._ledger.release(job)

    def _due(self, orphans: Sequence[Job]) -> list[Job]:
        """Those that are not left to others for now."""
        now = time.monotonic()
        return [job for job in orphans if job.job_id not in self._pauses or self._pauses[job.job_id].until <= now]

    async def _resume(self, job: Job) -> None:
        host = self._host(job.host)
        if host is None:
            raise HostError(
                "it is not in the fleet config any more.",
                host=job.host,
                reason=Reason.LOST_CONTACT,
                next_step="Give it this name there again.",
            )
        view = await self._board.look(host, max_age=FRESH_SECONDS)
        if view.facts is None or view.trouble is not None:
            raise view.trouble or HostError("it has not answered.", host=host.name, reason=Reason.UNREACHABLE)
        view.jobs.add(job.job_id)
        try:
            await self._watch.resume(job, view)
        finally:
            view.jobs.discard(job.job_id)
            self._board.note_change()
