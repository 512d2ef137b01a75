"""The fleet: every operation as one typed method, and the owner of connections, jobs and outputs."""

from __future__ import annotations

import copy
import logging
import os
import platform
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import anyio
import platformdirs
from anyio import AsyncContextManagerMixin

from picoclaw_fleet import report
from picoclaw_fleet.assignment import Assignment
from picoclaw_fleet.caller import Caller
from picoclaw_fleet.config.file import ConfigSource
from picoclaw_fleet.config.inventory import Host, Inventory
from picoclaw_fleet.config.roster import Roster
from picoclaw_fleet.config.values import expand_home
from picoclaw_fleet.errors import HostError, LedgerError, Reason, State, UsageError
from picoclaw_fleet.jobs.adoption import Adoption
from picoclaw_fleet.jobs.board import Board, HostView
from picoclaw_fleet.jobs.dispatcher import Dispatcher
from picoclaw_fleet.jobs.housekeeping import Housekeeping
from picoclaw_fleet.jobs.intake import Mode, new_job, new_jobs
from picoclaw_fleet.jobs.ledger import Ledger
from picoclaw_fleet.jobs.model import Job, new_batch_id
from picoclaw_fleet.jobs.output import PAGE_CHARACTERS, OutputStore
from picoclaw_fleet.jobs.watch import JobWatch
from picoclaw_fleet.progress import Progress, reporting
from picoclaw_fleet.releases.source import ReleaseSource
from picoclaw_fleet.results import BatchResult, HostsResult, JobResult, JobsResult, Result
from picoclaw_fleet.rollout import HostRun, OnChange, Rollout
from picoclaw_fleet.transport import Pool

logger = logging.getLogger(__name__)

DEFAULT_TIMEOUT_SECONDS = 120
DEFAULT_WAIT_SECONDS = 45
LONGEST_WAIT_SECONDS = 50
"""The longest wait that is safe with every client: several give up after 60 s."""

CANCEL_SECONDS = 20.0
"""How long job_cancel waits for the hosts to verify that everything has stopped."""

OnIntake = Callable[[Sequence[str]], None]
"""Is told the ids of a call's new jobs before anything is done for them."""

R = TypeVar("R", bound=Result)


def state_folder() -> Path:
    """Where ledger and outputs lie: PICOCLAW_FLEET_STATE_DIR, else the platform's place for state."""
    named = os.environ.get("PICOCLAW_FLEET_STATE_DIR")
    return expand_home(named) if named else platformdirs.user_state_path("picoclaw-fleet")


class Fleet(AsyncContextManagerMixin):
    """A fleet of hosts with PicoClaw on them.

    Use it as `async with Fleet(source) as fleet`. Leaving it ends the waiting for jobs, not the jobs: the next one on
    the same state folder takes them up.

    Args:
        source: Where the fleet config comes from; read again whenever the file changes.
        state: The folder for ledger and outputs; None for `state_folder()`.
    """

    _dispatcher: Dispatcher
    _rollout: Rollout

    def __init__(self, source: ConfigSource, *, state: Path | None = None) -> None:
        folder = state or state_folder()
        self._roster = Roster(source)
        self._caller = Caller()
        self._on_intake: OnIntake = _ignore
        # A state folder may be shared by machines, as homes are; a ledger must not be.
        machine = re.sub(r"[^A-Za-z0-9._-]", "_", platform.node()) or "here"
        self._ledger = Ledger(folder / f"ledger-{machine}.sqlite")
        self._outputs = OutputStore(folder / "outputs")
        self._pool = Pool(self._roster.find)
        self._board = Board(self._pool)
        self._watch = JobWatch(self._pool, self._ledger, self._outputs)
        self._releases = ReleaseSource()
        self._awaited: Counter[str] = Counter()

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self]:
        try:
            await self._ledger.open()
            async with self._pool, anyio.create_task_group() as tasks:
                self._dispatcher = Dispatcher(self._ledger, self._board, self._watch, self._hosts, tasks)
                self._rollout = Rollout(self._pool, self._board, tasks)
                adoption = Adoption(
                    ledger=self._ledger,
                    board=self._board,
                    watch=self._watch,
                    host=self._roster.find,
                    stop=self._dispatcher.stop,
                    take_back=self._dispatcher.take_back,
                )
                housekeeping = Housekeeping(
                    pool=self._pool,
                    board=self._board,
                    ledger=self._ledger,
                    outputs=self._outputs,
                    host=self._roster.find,
                )
                tasks.start_soon(adoption.run)
                tasks.start_soon(housekeeping.run)
                yield self
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._ledger.aclose()

    def inventory(self) -> Inventory:
        """The hosts as the config has them now.

        Raises:
            ConfigError: The config can't be used.
        """
        return self._roster.current()

    def config(self) -> dict[str, Any]:
        """What the fleet config says now, without values that may be secret.

        Raises:
            ConfigError: The config can't be used.
        """
        return self._roster.config()

    def acting_for(self, caller: Caller, *, on_intake: OnIntake | None = None) -> Fleet:
        """The same fleet as one caller may use it: new jobs are his, and others' are unknown to him.

        What he may do at all is for the surface to check that knows him.

        Args:
            caller: Who calls.
            on_intake: Is told the ids of his new jobs before anything is done for them.
        """
        view = copy.copy(self)
        view._caller, view._on_intake = caller, on_intake or _ignore
        return view

    async def status(self, hosts: Sequence[str] = (), *, progress: Progress | None = None) -> HostsResult:
        """Looks at hosts, all at once.

        Args:
            hosts: Selectors; empty for all.
            progress: Is told how many have answered.

        Raises:
            UsageError: A selector matches nothing, or the config can't be used.
        """
        chosen = self.inventory().select(hosts)
        views = await self._look_at(chosen, progress)
        return await self._with_news(report.hosts_result(views, self._board.twins(chosen)))

    async def dispatch(
        self,
        task: str,
        *,
        host: str = "",
        timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS,
        wait_seconds: float = DEFAULT_WAIT_SECONDS,
        deploy_missing: bool = True,
        progress: Progress | None = None,
    ) -> JobResult:
        """Gives one task to one host and waits for its end, but not longer than wait_seconds.

        Args:
            task: What is to be done; up to 120,000 bytes.
            host: A selector that narrows the choice; empty for all hosts.
            timeout_seconds: When PicoClaw is stopped, from 1 to 86,400.
            wait_seconds: When this call returns at the latest; the job goes on.
            deploy_missing: Put PicoClaw on a host first where no host that fits has it.
            progress: Is told how long it has been.

        Raises:
            UsageError: Nothing was started: a bad task or selector, or a config that can't be used.
            LedgerError: Nothing was started, since it could not be noted down.
        """
        _check_wait(wait_seconds)
        job = new_job(self.inventory(), task, host, timeout_seconds)
        await self._begin([job], deploy_missing=deploy_missing)
        with _begun_as(job.job_id):
            await self._wait(job.job_id, 1, wait_seconds, progress)
            return await self._job_result(await self._ledger.job(job.job_id))

    async def dispatch_many(
        self,
        tasks: Sequence[Assignment],
        *,
        hosts: Sequence[str] = (),
        mode: Mode = "spread",
        timeout_seconds: int = DEFAULT_TIMEOUT_SECONDS,
        wait_seconds: float = DEFAULT_WAIT_SECONDS,
        max_parallel: int = 0,
        deploy_missing: bool = True,
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
            max_parallel: How many jobs may run at once; 0 leaves that to the hosts' slots. Not kept over a restart.
            deploy_missing: Put PicoClaw on hosts first that miss it, where the others are too few.
            rerun: A batch whose jobs that did not succeed are to be done again, each on its own choice of hosts.
            progress: Is told how many jobs are done.

        Raises:
            UsageError: Nothing was started: a bad task or selector, or a config that can't be used.
            LedgerError: Nothing was started, since it could not be noted down.
        """
        _check_wait(wait_seconds)
        if max_parallel < 0:
            raise UsageError(f"max_parallel is {max_parallel}; it can't be negative.")
        batch_id = new_batch_id()
        if rerun:
            jobs = await self._again(rerun, tasks, batch_id)
        else:
            jobs = new_jobs(self.inventory(), tasks, hosts, mode, timeout_seconds, batch_id)
        await self._begin(jobs, max_parallel, deploy_missing=deploy_missing)
        with _begun_as(batch_id):
            await self._wait(batch_id, len(jobs), wait_seconds, progress)
            return await self._batch_result(batch_id)

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

        Naming jobs that were queued when their process died sets them going again, where the caller may give out work.

        Args:
            job_id: The job; or
            batch_id: the batch.
            wait_seconds: How long to wait for the end at most.
            offset: From where to show a job's output, or the jobs of a batch, as next_offset said.
            limit: How much of it, in characters.
            progress: Is told how many jobs are done.

        Raises:
            UsageError: Neither or both are given, or there is no such job or batch.
            LedgerError: The ledger can't be read.
        """
        _check_wait(wait_seconds)
        scope, total = await self._meant(job_id, batch_id)
        if self._caller.may("dispatch"):
            await self._dispatcher.set_going(scope)
        await self._wait(scope, total, wait_seconds, progress)
        if batch_id:
            return await self._batch_result(batch_id, offset)
        job = await self._ledger.job(job_id, owner=self._caller.owns_only)
        return await self._job_result(job, offset=offset, limit=limit)

    async def deploy(
        self,
        hosts: Sequence[str] = (),
        *,
        version: str = "",
        force: bool = False,
        local: Path | None = None,
        unready_only: bool = False,
        wait_seconds: float = DEFAULT_WAIT_SECONDS,
        progress: Progress | None = None,
        on_change: OnChange | None = None,
    ) -> HostsResult:
        """Puts PicoClaw and its settings on hosts; the same again changes nothing.

        What isn't done when this returns goes on; the same call again joins it.

        Args:
            hosts: Selectors; empty for those that are not ready.
            version: latest or a tag; empty for what the config says.
            force: Go on although the first host of its kind did not get ready.
            local: An archive or binary to install instead of a release.
            unready_only: Leave those that are ready alone, named or not; so a call without hosts is gone on with.
            wait_seconds: When this call returns at the latest.
            progress: Is told how many hosts are done.
            on_change: Is told where a host has come further.

        Raises:
            UsageError: Nothing was begun: a bad selector or version, or a config that can't be used.
        """
        _check_wait(wait_seconds)
        chosen = self.inventory().select(hosts)
        defaults = self._roster.defaults()
        wanted = version or defaults.version
        unready_only = unready_only or not hosts
        runs = self._rollout.deploy(
            chosen, self._releases.of(defaults), version=wanted, force=force, local=local, unready_only=unready_only
        )
        await self._watch_runs(runs, wait_seconds, progress, on_change)
        return await self._rollout_result([run for run in runs if not (unready_only and run.was_ready)])

    async def teardown(
        self,
        hosts: Sequence[str],
        *,
        purge: bool = False,
        wait_seconds: float = DEFAULT_WAIT_SECONDS,
        progress: Progress | None = None,
        on_change: OnChange | None = None,
    ) -> HostsResult:
        """Takes away from hosts what deploy put there, and nothing of the user's.

        Args:
            hosts: Selectors; at least one.
            purge: Also what PicoClaw itself has left behind.
            wait_seconds: When this call returns at the latest; what isn't done goes on.
            progress: Is told how many hosts are done.
            on_change: Is told where a host has come further.

        Raises:
            UsageError: Nothing was begun: a bad selector, or a config that can't be used.
        """
        _check_wait(wait_seconds)
        if not hosts:
            raise UsageError("Teardown needs hosts to be named.", next_step='Give hosts, ["all"] if that is meant.')
        runs = self._rollout.teardown(self.inventory().select(hosts), purge=purge)
        await self._watch_runs(runs, wait_seconds, progress, on_change)
        return await self._rollout_result(runs)

    async def jobs(
        self, *, state: str = "", host: str = "", batch_id: str = "", offset: int = 0, limit: int = 20
    ) -> JobsResult:
        """Lists jobs, newest first, without their outputs.

        Args:
            state: Only those in this state.
            host: Only those sent to the host of this name.
            batch_id: Only those of this batch.
            offset: How many of the newest to leave out.
            limit: How many to list.

        Raises:
            UsageError: There is no such state or batch, or neither such a host nor a job that was sent there.
            LedgerError: The ledger can't be read.
        """
        if state and state not in set(State):
            raise UsageError(f"There is no state {state[:80]!r}.", next_step=f"States are {', '.join(State)}.")
        if batch_id:
            await self._ledger.counts(batch_id, owner=self._caller.owns_only)
        jobs, total = await self._ledger.page(
            state=state, host=host, batch_id=batch_id, owner=self._caller.owns_only, offset=offset, limit=limit
        )
        if host and not total:
            self._roster.latest().get(host)
        return await self._with_news(report.jobs_result(jobs, total, offset))

    async def cancel(self, job_id: str = "", batch_id: str = "") -> JobsResult:
        """Stops a job, or those of a batch, and verifies on the hosts that nothing of them is left.

        Where a host can't be reached the wish is kept, and carried out at the next contact.

        Args:
            job_id: The job; or
            batch_id: the batch.

        Raises:
            UsageError: Neither or both are given, or there is no such job or batch.
            LedgerError: The ledger can't be read or written.
        """
        scope, _ = await self._meant(job_id, batch_id)
        jobs = await self._dispatcher.stop_all(scope)
        await self._wait(scope, len(jobs), CANCEL_SECONDS, None)
        return await self._with_news(report.cancel_result(await self._ledger.latest(jobs)), said=jobs)

    def _hosts(self) -> Sequence[Host]:
        """The hosts as the last good config has them: running jobs go on with it."""
        return self._roster.latest().hosts

    async def _meant(self, job_id: str, batch_id: str) -> tuple[str, int]:
        """The job or the batch that the caller means, and how many jobs that is."""
        if bool(job_id) == bool(batch_id):
            raise UsageError("Give either job_id or batch_id.")
        if job_id:
            await self._ledger.job(job_id, owner=self._caller.owns_only)
            return job_id, 1
        return batch_id, (await self._ledger.counts(batch_id, owner=self._caller.owns_only)).total()

    async def _begin(self, jobs: Sequence[Job], max_parallel: int = 0, *, deploy_missing: bool) -> None:
        for job in jobs:
            job.owner = self._caller.name
        self._on_intake([job.job_id for job in jobs])
        may_deploy = deploy_missing and self._caller.may("admin")
        await self._dispatcher.begin(jobs, max_parallel, self._put_there if may_deploy else None)

    async def _put_there(self, host: Host) -> HostError | None:
        """Deploys to a host for the sake of a job; returns why it could not be done."""
        try:
            defaults = self._roster.defaults()
            runs = self._rollout.deploy([host], self._releases.of(defaults), version=defaults.version)
        except UsageError as error:
            return HostError(error.message, host=host.name, reason=Reason.NO_RELEASE, next_step=error.next_step)
        await self._rollout.watch(runs)
        return runs[0].result.error(host.name)

    async def _look_at(self, hosts: Sequence[Host], progress: Progress | None) -> list[HostView]:
        seen: list[HostView] = []

        async def look(host: Host) -> None:
            seen.append(await self._board.look(host))

        async with (
            reporting(progress, lambda: f"{len(seen)} of {len(hosts)} hosts have answered"),
            anyio.create_task_group() as looks,
        ):
            for host in hosts:
                looks.start_soon(look, host)
        return [self._board.view(host) for host in hosts]

    async def _watch_runs(
        self, runs: Sequence[HostRun], seconds: float, progress: Progress | None, on_change: OnChange | None
    ) -> None:
        async with reporting(progress, lambda: f"{sum(run.finished for run in runs)} of {len(runs)} hosts done"):
            await self._rollout.watch(runs, on_change, seconds=seconds)

    async def _rollout_result(self, runs: Sequence[HostRun]) -> HostsResult:
        views = [self._board.view(run.host) for run in runs]
        return await self._with_news(report.rollout_result(runs, views))

    async def _again(self, batch_id: str, tasks: Sequence[Assignment], new_id: str) -> list[Job]:
        if tasks:
            raise UsageError("With rerun the tasks are those of that batch; leave tasks out.")
        await self._ledger.counts(batch_id, owner=self._caller.owns_only)
        failed = await self._ledger.unsuccessful(batch_id)
        if not failed:
            raise UsageError(f"Batch {batch_id} has no job that ended without success.")
        return [Job(job.task, job.hosts, job.timeout_seconds, new_id) for job in failed]

    async def _job_result(self, job: Job, *, offset: int = 0, limit: int = PAGE_CHARACTERS) -> JobResult:
        if job.state.finished and not job.told and job.owner == self._caller.name:
            job.told = True
            await self._ledger.note_told(job.job_id)
        return await self._with_news(report.job_result(job, self._outputs, offset=offset, limit=limit))

    async def _batch_result(self, batch_id: str, offset: int = 0) -> BatchResult:
        # First, so that what ends from now on is neither left out here nor taken for told.
        await self._ledger.note_batch_told(batch_id, self._caller.name)
        states = await self._ledger.counts(batch_id, owner=self._caller.owns_only)
        shown = await self._ledger.trouble_first(batch_id, report.SHOWN_JOBS, offset)
        return await self._with_news(report.batch_result(batch_id, states, shown, self._outputs, offset=offset))

    async def _with_news(self, result: R, said: Sequence[Job] = ()) -> R:
        """Adds what has finished while no caller was looking, but for the jobs of which the result says so itself."""
        result.notices += report.news(await self._ledger.news(self._caller.name, self._awaited), said)
        return result

    async def _wait(self, scope: str, total: int, seconds: float, progress: Progress | None) -> None:
        """Waits until nothing of a scope is unfinished, or the time is up."""
        left = total
        self._awaited[scope] += 1
        try:
            with anyio.move_on_after(seconds):
                async with reporting(progress, lambda: f"{total - left} of {total} jobs done"):
                    while left := await self._ledger.count_unfinished(scope):
                        await self._ledger.change(scope)
        finally:
            self._awaited -= Counter([scope])


@contextmanager
def _begun_as(scope: str) -> Generator[None]:
    """What fails from here on undoes nothing, so the caller has to know what his jobs are called."""
    try:
        yield
    except LedgerError as error:
        next_step = f"What was asked for is {scope}; it goes on, and can be looked up later. {error.next_step}"
        raise LedgerError(error.message, next_step=next_step) from error


def _ignore(_: Sequence[str]) -> None:
    pass


def _check_wait(seconds: float) -> None:
    if not 0 <= seconds <= LONGEST_WAIT_SECONDS:
        raise UsageError(f"wait_seconds is {seconds:g}; it has to be from 0 to {LONGEST_WAIT_SECONDS}.")
