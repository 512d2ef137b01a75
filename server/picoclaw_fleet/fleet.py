"""The fleet: every operation as one typed method, and the owner of connections, jobs and outputs."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal, Self

import anyio
import platformdirs
from anyio import AsyncContextManagerMixin
from anyio.abc import TaskGroup

from picoclaw_fleet.assignment import Assignment
from picoclaw_fleet.config_files import ConfigSource
from picoclaw_fleet.errors import HostError, Reason, State, UsageError
from picoclaw_fleet.inventory import Host, Inventory
from picoclaw_fleet.jobs.board import Board
from picoclaw_fleet.jobs.dispatcher import BatchRun
from picoclaw_fleet.jobs.ledger import Ledger
from picoclaw_fleet.jobs.model import Job, new_batch_id
from picoclaw_fleet.jobs.output import PAGE_CHARACTERS, OutputStore
from picoclaw_fleet.jobs.watch import JobWatch
from picoclaw_fleet.report import batch_result, hosts_result, job_result
from picoclaw_fleet.results import BatchResult, HostsResult, JobResult
from picoclaw_fleet.transport import Pool
from picoclaw_fleet.worker.answer import as_message
from picoclaw_fleet.worker.contract import MAX_TASK_BYTES

logger = logging.getLogger(__name__)

DEFAULT_TIMEOUT_SECONDS = 120
LONGEST_TIMEOUT_SECONDS = 86_400
DEFAULT_WAIT_SECONDS = 45
LONGEST_WAIT_SECONDS = 50
"""The longest wait that is safe with every client: several give up after 60 s."""

PROGRESS_SECONDS = 5.0

Progress = Callable[[float, str], Awaitable[None]]
"""Is told the seconds elapsed, which rise from call to call, and how far the work has come."""


def state_folder() -> Path:
    """Where ledger and outputs lie: PICOCLAW_FLEET_STATE_DIR, else the platform's place for state."""
    named = os.environ.get("PICOCLAW_FLEET_STATE_DIR")
    return Path(named).expanduser() if named else platformdirs.user_state_path("picoclaw-fleet")


class Fleet(AsyncContextManagerMixin):
    """A fleet of hosts with PicoClaw on them.

    Use it as `async with Fleet(source) as fleet`. Leaving it ends the waiting for jobs, not the jobs.

    Args:
        source: Where the fleet config comes from; read again whenever the file changes.
        state: The folder for outputs; None for `state_folder()`.
    """

    _tasks: TaskGroup

    def __init__(self, source: ConfigSource, *, state: Path | None = None) -> None:
        self._source = source
        self._inventory = Inventory(())
        self._inventory_of: object = None
        self._ledger = Ledger()
        self._outputs = OutputStore((state or state_folder()) / "outputs")
        self._pool = Pool(self._host_or_none)
        self._board = Board(self._pool)
        self._watch = JobWatch(self._pool, self._ledger, self._outputs)

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self]:
        async with self._pool, anyio.create_task_group() as tasks:
            self._tasks = tasks
            yield self
            tasks.cancel_scope.cancel()

    def inventory(self) -> Inventory:
        """The hosts as the config has them now.

        Raises:
            ConfigError: The config can't be used.
        """
        config = self._source.current()
        if config is not self._inventory_of:
            self._inventory, self._inventory_of = Inventory.from_config(config), config
        return self._inventory

    async def status(self, hosts: Sequence[str] = (), *, progress: Progress | None = None) -> HostsResult:
        """Looks at hosts, all at once.

        Args:
            hosts: Selectors; empty for all.
            progress: Is told how many have answered.

        Raises:
            UsageError: A selector matches nothing, or the config can't be used.
        """
        chosen = self.inventory().select(hosts)
        done = 0

        async def look(host: Host) -> None:
            nonlocal done
            await self._board.look(host)
            done += 1

        async with (
            _reporting(progress, lambda: f"{done} of {len(chosen)} hosts have answered"),
            anyio.create_task_group() as looks,
        ):
            for host in chosen:
                looks.start_soon(look, host)
        return hosts_result([self._board.view(host) for host in chosen], self._board.twins(chosen))

    async def dispatch(
        self,
        task: str,
        *,
        host: str = "",
        timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS,
        wait_seconds: float = DEFAULT_WAIT_SECONDS,
        progress: Progress | None = None,
    ) -> JobResult:
        """Gives one task to one host and waits for its end, but not longer than wait_seconds.

        Args:
            task: What is to be done; up to 120,000 bytes.
            host: A selector that narrows the choice; empty for all hosts.
            timeout_seconds: When PicoClaw is stopped, from 1 to 86,400.
            wait_seconds: When this call returns at the latest; the job goes on.
            progress: Is told how long it has been.

        Raises:
            UsageError: Nothing was started: a bad task or selector, or a config that can't be used.
        """
        _check_wait(wait_seconds)
        _check_task(task, "The task")
        hosts = self.inventory().select([host] if host else [])
        job = Job(task, tuple(one.name for one in hosts), _checked_timeout(timeout_seconds))
        self._begin([job], hosts)
        await self._wait(lambda: 0 if job.state.finished else 1, 1, wait_seconds, progress)
        return job_result(job, self._outputs)

    async def dispatch_many(
        self,
        tasks: Sequence[Assignment],
        *,
        hosts: Sequence[str] = (),
        mode: Literal["spread", "broadcast"] = "spread",
        timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS,
        wait_seconds: float = DEFAULT_WAIT_SECONDS,
        max_parallel: int = 0,
        rerun: str = "",
        progress: Progress | None = None,
    ) -> BatchResult:
        """Gives many tasks to many hosts and waits for their end, but not longer than wait_seconds.

        Args:
            tasks: What is to be done; empty with rerun.
            hosts: Selectors; empty for all hosts. Broadcast needs them named.
            mode: spread runs each task once, wherever a slot is free; broadcast runs each task on each host.
            timeout_seconds: When PicoClaw is stopped, for each task that doesn't say it itself.
            wait_seconds: When this call returns at the latest; the jobs go on.
            max_parallel: How many jobs may run at once; 0 leaves that to the hosts' slots.
            rerun: A batch whose jobs that did not succeed are to be done again, each on its own choice of hosts.
            progress: Is told how many jobs are done.

        Raises:
            UsageError: Nothing was started: a bad task or selector, or a config that can't be used.
        """
        _check_wait(wait_seconds)
        if max_parallel < 0:
            raise UsageError(f"max_parallel is {max_parallel}; it can't be negative.")
        inventory = self.inventory()
        batch_id = new_batch_id()
        if rerun:
            jobs = self._again(rerun, tasks, batch_id)
        else:
            jobs = _new_jobs(inventory, tasks, hosts, mode, timeout_seconds, batch_id)
        named = {name for job in jobs for name in job.hosts}
        self._begin(jobs, [host for host in inventory.hosts if host.name in named], max_parallel)
        await self._wait(lambda: self._ledger.unfinished(batch_id), len(jobs), wait_seconds, progress)
        return batch_result(batch_id, jobs, self._outputs)

    async def result(
        self,
        job_id: str = "",
        batch_id: str = "",
        *,
        wait_seconds: float = 0,
        offset: int = 0,
        limit: int = PAGE_CHARACTERS,
        progress: Progress | None = None,
    ) -> JobResult | BatchResult:
        """Tells how a job or a batch stands, after waiting for its end if so wished.

        Args:
            job_id: The job; or
            batch_id: the batch.
            wait_seconds: How long to wait for the end at most.
            offset: From where to show a job's output, as next_offset said.
            limit: How much of it, in characters.
            progress: Is told how many jobs are done.

        Raises:
            UsageError: Neither or both are given, or there is no such job or batch.
        """
        _check_wait(wait_seconds)
        if bool(job_id) == bool(batch_id):
            raise UsageError("Give either job_id or batch_id.")
        if job_id:
            job = self._ledger.job(job_id)
            await self._wait(lambda: 0 if job.state.finished else 1, 1, wait_seconds, progress)
            return job_result(job, self._outputs, offset=offset, limit=limit)
        jobs = self._ledger.batch(batch_id)
        await self._wait(lambda: self._ledger.unfinished(batch_id), len(jobs), wait_seconds, progress)
        return batch_result(batch_id, jobs, self._outputs)

    def _host_or_none(self, name: str) -> Host | None:
        return next((host for host in self._inventory.hosts if host.name == name), None)

    def _begin(self, jobs: Sequence[Job], hosts: Sequence[Host], max_parallel: int = 0) -> None:
        self._ledger.add(jobs)
        run = BatchRun(
            jobs, hosts, board=self._board, watch=self._watch, ledger=self._ledger, max_parallel=max_parallel
        )
        self._tasks.start_soon(self._see_through, run, jobs)

    async def _see_through(self, run: BatchRun, jobs: Sequence[Job]) -> None:
        """Runs a batch; a fault of ours in one must not take the others down with it."""
        try:
            await run.run()
        except Exception:
            logger.exception("A batch broke off")
            for job in jobs:
                if job.state is State.QUEUED:
                    job.fail(HostError("an internal error; see the server's log.", host="", reason=Reason.SKIPPED))
                    self._ledger.record(job)

    def _again(self, batch_id: str, tasks: Sequence[Assignment], new_id: str) -> list[Job]:
        if tasks:
            raise UsageError("With rerun the tasks are those of that batch; leave tasks out.")
        old = self._ledger.batch(batch_id)
        failed = [job for job in old if job.state.finished and job.state is not State.SUCCEEDED]
        if not failed:
            raise UsageError(f"Batch {batch_id} has no job that failed.")
        return [Job(job.task, job.hosts, job.timeout_seconds, new_id) for job in failed]

    async def _wait(self, unfinished: Callable[[], int], total: int, seconds: float, progress: Progress | None) -> None:
        """Waits until nothing is unfinished, or the time is up."""
        with anyio.move_on_after(seconds):
            async with _reporting(progress, lambda: f"{total - unfinished()} of {total} jobs done"):
                while unfinished():
                    await self._ledger.change()


@asynccontextmanager
async def _reporting(progress: Progress | None, describe: Callable[[], str]) -> AsyncGenerator[None]:
    """Reports progress every few seconds for as long as the block takes."""
    if progress is None:
        yield
        return
    began = time.monotonic()

    async def report() -> None:
        while True:
            await anyio.sleep(PROGRESS_SECONDS)
            await progress(round(time.monotonic() - began, 1), describe())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(report)
        yield
        tasks.cancel_scope.cancel()


def _new_jobs(
    inventory: Inventory,
    tasks: Sequence[Assignment],
    hosts: Sequence[str],
    mode: str,
    timeout_seconds: int,
    batch_id: str,
) -> list[Job]:
    if not tasks:
        raise UsageError("There are no tasks.")
    if mode == "broadcast" and not hosts:
        raise UsageError(
            "A broadcast runs each task on each host, so the hosts have to be named.",
            next_step='Give hosts, ["all"] if that is what is meant.',
        )
    chosen = tuple(host.name for host in inventory.select(hosts))
    jobs: list[Job] = []
    for number, assignment in enumerate(tasks, start=1):
        _check_task(assignment.task, f"Task {number}")
        names = tuple(host.name for host in inventory.select([assignment.host])) if assignment.host else chosen
        seconds = _checked_timeout(assignment.timeout_seconds or timeout_seconds)
        groups = [(name,) for name in names] if mode == "broadcast" else [names]
        jobs += (Job(assignment.task, group, seconds, batch_id) for group in groups)
    return jobs


def _check_task(task: str, what: str) -> None:
    """Refuses what can't be told to PicoClaw, or would not arrive as it is."""
    if not task.strip():
        raise UsageError(f"{what} is blank.", reason=Reason.BAD_TASK, next_step="Say what is to be done.")
    if "\0" in task:
        raise UsageError(f"{what} contains a NUL character, which no argument can hold.", reason=Reason.BAD_TASK)
    try:
        size = len(as_message(task).encode())
    except UnicodeEncodeError as error:
        raise UsageError(f"{what} is not valid Unicode ({error.reason}).", reason=Reason.BAD_TASK) from error
    if size > MAX_TASK_BYTES:
        raise UsageError(
            f"{what} has {size:,} bytes; PicoClaw takes at most {MAX_TASK_BYTES:,}.",
            reason=Reason.TOO_LARGE,
            next_step="Split it, or put the material where the worker can fetch it.",
        )


def _check_wait(seconds: float) -> None:
    if not 0 <= seconds <= LONGEST_WAIT_SECONDS:
        raise UsageError(f"wait_seconds is {seconds:g}; it has to be from 0 to {LONGEST_WAIT_SECONDS}.")


def _checked_timeout(seconds: int) -> int:
    if 1 <= seconds <= LONGEST_TIMEOUT_SECONDS:
        return seconds
    raise UsageError(f"timeout_seconds is {seconds}; it has to be from 1 to {LONGEST_TIMEOUT_SECONDS}.")
