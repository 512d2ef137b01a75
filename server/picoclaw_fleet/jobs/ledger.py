"""The ledger: the controller's store of jobs and batches.

It lives in memory: what it forgets with the process is still true on the hosts.
"""

from __future__ import annotations

from collections.abc import Iterable

import anyio

from picoclaw_fleet.errors import UsageError
from picoclaw_fleet.jobs.model import Job
from picoclaw_fleet.nearest import nearest


class Ledger:
    """Jobs by id, and who waits for them."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._batches: dict[str, list[Job]] = {}
        self._unfinished: dict[str, set[str]] = {}
        self._changed = anyio.Event()

    def add(self, jobs: Iterable[Job]) -> None:
        """Takes in new jobs."""
        for job in jobs:
            self._jobs[job.job_id] = job
            if job.batch_id:
                self._batches.setdefault(job.batch_id, []).append(job)
                self._unfinished.setdefault(job.batch_id, set()).add(job.job_id)

    def record(self, job: Job) -> None:
        """Notes that a job has changed, and tells those who wait."""
        if job.state.finished and job.batch_id:
            self._unfinished[job.batch_id].discard(job.job_id)
        self._changed.set()
        self._changed = anyio.Event()

    def job(self, job_id: str) -> Job:
        """The job of that id.

        Raises:
            UsageError: There is none.
        """
        if job_id in self._jobs:
            return self._jobs[job_id]
        raise _unknown("job", job_id, self._jobs)

    def batch(self, batch_id: str) -> list[Job]:
        """The jobs of that batch, in the order they were given.

        Raises:
            UsageError: There is none.
        """
        if batch_id in self._batches:
            return self._batches[batch_id]
        raise _unknown("batch", batch_id, self._batches)

    def unfinished(self, batch_id: str) -> int:
        """How many jobs of that batch are queued or running."""
        return len(self._unfinished[batch_id])

    async def change(self) -> None:
        """Waits until any job changes."""
        await self._changed.wait()


def _unknown(kind: str, wanted: str, known: Iterable[str]) -> UsageError:
    near = nearest(wanted, known, limit=1)
    hint = f"Did you mean {near[0]}?" if near else "Ids are those that dispatch and dispatch_many returned."
    return UsageError(f"There is no {kind} {wanted!r}.", next_step=hint)
