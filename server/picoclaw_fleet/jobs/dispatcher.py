"""The dispatcher: sets jobs going, and stops them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import anyio
from anyio.abc import TaskGroup

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.jobs.batch_run import BatchRun, Install
from picoclaw_fleet.jobs.board import FRESH_SECONDS, Board
from picoclaw_fleet.jobs.ledger import Ledger
from picoclaw_fleet.jobs.model import Job
from picoclaw_fleet.jobs.watch import JobWatch

logger = logging.getLogger(__name__)

MOST_NAMED = 1000
"""So many of the jobs and batches that were asked for last are remembered."""


class Dispatcher:
    """Runs batches of jobs in the background of the calls that ask for them.

    Args:
        ledger: The jobs.
        board: How the hosts are.
        watch: Carries out one job on one host.
        hosts: Tells the hosts of the last good config.
        tasks: Where everything runs.
    """

    def __init__(
        self, ledger: Ledger, board: Board, watch: JobWatch, hosts: Callable[[], Sequence[Host]], tasks: TaskGroup
    ) -> None:
        self._ledger = ledger
        self._board = board
        self._watch = watch
        self._hosts = hosts
        self._tasks = tasks
        self._runs: set[BatchRun] = set()
        self._named: dict[str, None] = {}

    async def begin(self, jobs: Sequence[Job], max_parallel: int = 0, install: Install | None = None) -> None:
        """Takes in new jobs, all or none, and sets them going.

        Args:
            jobs: The jobs.
            max_parallel: How many of them may run at once; 0 leaves that to the hosts' slots.
            install: Puts PicoClaw on hosts that miss it; None: such hosts are left out.

        Raises:
            LedgerError: None was taken in.
        """
        await self._ledger.add(jobs)
        self._run(jobs, max_parallel, install)

    async def set_going(self, scope: str) -> None:
        """Sets going what was queued when its process died, of the job or batch with that id."""
        self._named.pop(scope, None)
        self._named[scope] = None
        if len(self._named) > MOST_NAMED:
            del self._named[next(iter(self._named))]
        orphans = [job for job in await self._ledger.orphans(sent=False, scope=scope) if not job.stop_wanted]
        taken = await self._ledger.take_over(orphans)
        if taken:
            self._run(taken)

    def take_back(self, job: Job) -> None:
        """Takes a job that never came to its host: it goes on where it was asked for here, else it waits for that."""
        if self._named.keys() & {job.job_id, job.batch_id}:
            self._run([job])
        else:
            self._ledger.release(job)

    async def stop_all(self, scope: str) -> list[Job]:
        """Stops what is unfinished of the job or batch with that id, and returns it."""
        jobs: list[Job] = []
        # A caller who goes away in between must not leave jobs with us that nobody stops.
        with anyio.CancelScope(shield=True):
            jobs = await self._ledger.unfinished(scope)
            await self._ledger.want_stop(jobs)
            for job in await self._ledger.take_over(await self._ledger.orphans(sent=False, scope=scope)):
                self.stop(job)
            for job in await self._ledger.unfinished(scope):
                self.stop(job)
        return jobs

    def stop(self, job: Job) -> None:
        """Stops a job as far as that is ours to do: takes it out of the queue, or tells its host."""
        job.stop_wanted = True
        if job.sent:
            self._tasks.start_soon(self._tell_host, job)
        elif self._ledger.holds(job) and (self._is_withdrawn(job) or not self._is_under_way(job)):
            self._watch.call_off(job)

    def _run(self, jobs: Sequence[Job], max_parallel: int = 0, install: Install | None = None) -> None:
        named = set[str]().union(*{job.choice for job in jobs})
        hosts = [host for host in self._hosts() if host.name in named]
        run = BatchRun(
            jobs,
            hosts,
            board=self._board,
            watch=self._watch,
            ledger=self._ledger,
            max_parallel=max_parallel,
            install=install,
        )
        self._runs.add(run)
        self._tasks.start_soon(self._see_through, run, jobs)

    async def _see_through(self, run: BatchRun, jobs: Sequence[Job]) -> None:
        """A fault of ours in one batch must not take the others down with it."""
        try:
            await run.run()
        except Exception:
            logger.exception("A batch broke off")
            for job in jobs:
                if job.state.finished:
                    continue
                if job.host:
                    self._watch.leave(job)
                else:
                    job.fail(Reason.SKIPPED, "An internal error; see the server's log.")
                    self._ledger.record(job)
        finally:
            self._runs.discard(run)

    def _is_withdrawn(self, job: Job) -> bool:
        return any(run.withdraw(job) for run in self._runs)

    def _is_under_way(self, job: Job) -> bool:
        return any(run.carries(job) for run in self._runs)

    async def _tell_host(self, job: Job) -> None:
        try:
            # A host that the config has no more is there all the same, as long as jobs of ours are.
            host = next((host for host in self._hosts() if host.name == job.host), None) or self._board.host_of(
                job.job_id
            )
            if host is not None:
                await self._watch.stop(job, await self._board.look(host, max_age=FRESH_SECONDS))
        except HostError as error:
            # Who stays with the job does it at the next contact.
            logger.info("job %s can't be stopped yet: %s", job.job_id, error.message)
        except Exception:
            # A fault of ours must not end the whole server.
            logger.exception("Stopping job %s broke off", job.job_id)
