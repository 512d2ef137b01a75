"""Staying with jobs until they end, for as long as it takes."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import anyio

from picoclaw_fleet.cli.interrupt import Choice, ask
from picoclaw_fleet.cli.live import Screen
from picoclaw_fleet.cli.output import say, say_left
from picoclaw_fleet.cli.sketch import Sketch
from picoclaw_fleet.errors import State
from picoclaw_fleet.fleet import Fleet
from picoclaw_fleet.results import BatchResult, JobEntry, JobResult, Result

LOOK_SECONDS = 0.5
"""How often the picture is drawn anew; the end of a job is seen no later."""

GLANCE_SECONDS = 5.0
"""How long a glance takes at most: what an earlier command has left has to be asked for on its host first."""

_PAGE = 100


class Leave(Enum):
    """When to leave jobs that run."""

    AFTER_A_GLANCE = 0
    WHEN_STARTED = 1
    AT_THE_END = 2


class Reader(Protocol):
    """Whoever wants to be told of the jobs."""

    async def started(self, scope: Scope, total: int) -> None:
        """The jobs are taken in."""
        ...

    async def counted(self, counts: Counter[str], elapsed: float) -> None:
        """The numbers of jobs in each state have changed."""
        ...

    async def ended(self, job: JobResult, rest: AsyncIterator[JobResult]) -> None:
        """A job has ended; `job` is its first page, `rest` reads those after it."""
        ...


@dataclass(frozen=True, slots=True)
class Scope:
    """A job, or a batch."""

    job_id: str = ""
    batch_id: str = ""

    @classmethod
    def of(cls, scope_id: str) -> Scope:
        """The scope of that id."""
        return cls(batch_id=scope_id) if scope_id.startswith("b_") else cls(job_id=scope_id)

    def __str__(self) -> str:
        return self.job_id or self.batch_id


@dataclass(frozen=True, slots=True)
class Followed:
    """How it ended.

    Attributes:
        result: The batch or the job as it is now.
        jobs: All jobs, in the order in which they were given.
        notices: What came up besides.
        interrupted: Whether Ctrl-C was pressed, and not taken back.
        left: Whether jobs were left running.
    """

    result: JobResult | BatchResult
    jobs: Sequence[JobEntry]
    notices: Sequence[str]
    interrupted: bool
    left: bool


class Follower:
    """Follows jobs.

    Args:
        fleet: Where they are.
        screen: Where progress is shown.
        reader: Is told of their ends, one after the other.
        leave: When to leave.
    """

    def __init__(self, fleet: Fleet, screen: Screen, reader: Reader, *, leave: Leave) -> None:
        self._leave = leave
        self._fleet = fleet
        self._screen = screen
        self._reader = reader
        self._began = time.monotonic()
        self._scope = Scope()
        self._sketch = Sketch("")
        self._jobs: Sequence[JobEntry] = ()
        self._received: dict[str, int] = {}
        self._counts: Counter[str] = Counter()
        self._notices: dict[str, None] = {}
        self._interrupted = False
        self._left = False

    async def follow(self, begin: Callable[[], Awaitable[JobResult | BatchResult]]) -> Followed:
        """Begins with something and stays with it until all of it has ended, or the person leaves.

        Args:
            begin: Starts the jobs, or looks them up, without waiting for them.

        Raises:
            FleetError: They could not be started or found.
        """
        try:
            with anyio.open_signal_receiver(signal.SIGINT) as signals:
                first = await begin()
                self._scope = Scope.of(first.batch_id if isinstance(first, BatchResult) else first.job_id)
                self._note(first)
                total = first.counts.total if isinstance(first, BatchResult) else 1
                await self._reader.started(self._scope, total)
                self._sketch = Sketch(str(self._scope))
                self._screen.show(self._sketch.first(total))
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._heed, signals, tasks.cancel_scope)
                    await self._stay()
                    tasks.cancel_scope.cancel()
        except BaseException:
            self._screen.close()
            if str(self._scope):
                say_left(str(self._scope), self._jobs)
            raise
        self._screen.close()
        result = await self._result()
        return Followed(result, self._jobs, list(self._notices), self._interrupted, self._left)

    async def _stay(self) -> None:
        while True:
            self._jobs = await self._all_jobs()
            self._screen.show(self._sketch.picture(self._jobs, self._received))
            for job in self._jobs:
                if State(job.state).finished and job.job_id not in self._received:
                    await self._deliver(job)
            await self._count()
            self._screen.show(self._sketch.picture(self._jobs, self._received))
            if len(self._received) == len(self._jobs):
                return
            if self._may_leave():
                self._left = True
                return
            self._note(await self._result(wait_seconds=LOOK_SECONDS))

    def _may_leave(self) -> bool:
        match self._leave:
            case Leave.AFTER_A_GLANCE:
                return self._elapsed() >= GLANCE_SECONDS
            case Leave.WHEN_STARTED:
                return not self._counts["queued"]
            case Leave.AT_THE_END:
                return False

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    async def _heed(self, signals: AsyncIterator[signal.Signals], staying: anyio.CancelScope) -> None:
        """Waits for Ctrl-C, asks at the first one, and leaves at the second."""
        await anext(signals)
        async with self._screen.aside():
            choice = await ask(signals)
        if choice is Choice.STOP:
            self._interrupted = True
            say("Stopping the jobs. Ctrl-C leaves without waiting for that.")
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._stop)
                await anext(signals)
                tasks.cancel_scope.cancel()
        elif choice is Choice.WAIT:
            await anext(signals)
        self._interrupted = self._left = True
        staying.cancel()

    async def _stop(self) -> None:
        self._note(await self._fleet.cancel(self._scope.job_id, self._scope.batch_id))

    async def _result(self, *, wait_seconds: float = 0) -> JobResult | BatchResult:
        return await self._fleet.result(self._scope.job_id, self._scope.batch_id, wait_seconds=wait_seconds)

    async def _all_jobs(self) -> Sequence[JobEntry]:
        if self._scope.job_id:
            result = await self._result()
            self._note(result)
            assert isinstance(result, JobResult)
            return [result]
        jobs: list[JobEntry] = []
        offset: int | None = 0
        while offset is not None:
            page = await self._fleet.jobs(batch_id=self._scope.batch_id, offset=offset, limit=_PAGE)
            self._note(page)
            jobs += page.jobs
            offset = page.next_offset
        return jobs[::-1]

    async def _deliver(self, job: JobEntry) -> None:
        first = await self._fleet.result(job.job_id)
        assert isinstance(first, JobResult)
        self._note(first)
        received = first.next_offset or len(f"{first.answer or ''}{first.output or ''}".encode())

        async def rest() -> AsyncIterator[JobResult]:
            nonlocal received
            offset = first.next_offset
            while offset is not None:
                page = await self._fleet.result(job.job_id, offset=offset)
                assert isinstance(page, JobResult)
                yield page
                received = page.next_offset or offset + len(f"{page.answer or ''}{page.output or ''}".encode())
                offset = page.next_offset

        async with self._screen.aside():
            await self._reader.ended(first, rest())
        self._received[job.job_id] = received

    async def _count(self) -> None:
        counts = Counter(job.state for job in self._jobs)
        if counts != self._counts:
            self._counts = counts
            await self._reader.counted(counts, self._elapsed())

    def _note(self, result: Result) -> None:
        """Keeps what is said besides. That these jobs have ended is told anyway, so it goes."""
        own = (str(self._scope), *(job.job_id for job in self._jobs))
        result.notices = [notice for notice in result.notices if not notice.startswith(own)]
        self._notices.update(dict.fromkeys(result.notices))
