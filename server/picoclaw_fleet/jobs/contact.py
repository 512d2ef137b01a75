"""How a host is asked for one job, over as many channels as it takes, and what its refusals mean."""

from __future__ import annotations

import math
import time
from contextlib import AbstractAsyncContextManager

import anyio

from picoclaw_fleet.errors import CONTACT_REASONS, HostError, Reason
from picoclaw_fleet.jobs.board import HostView
from picoclaw_fleet.jobs.model import Job
from picoclaw_fleet.transport import Pool
from picoclaw_fleet.worker import contract
from picoclaw_fleet.worker.answer import as_message
from picoclaw_fleet.worker.contract import MAX_OUTPUT_BYTES, Attendance, Order
from picoclaw_fleet.worker.probe import Facts
from picoclaw_fleet.worker.settings import secrets_of, settings_of

GUARD_GRACE_SECONDS = 30.0
"""How far a job may be over its time before we stop it in place of its guard."""

START_SECONDS = 120.0
"""After so long without a word whether the job runs, its host is asked again; a long task takes less on a slow link."""

_LEAST_OUTPUT = 64 << 10
_REFUSALS = frozenset(
    {Reason.NO_SLOT, Reason.NOT_INSTALLED, Reason.ID_CONFLICT, Reason.DISK_FULL, Reason.HOME_NOT_WRITABLE}
)
# With these nothing was requested: there was no connection, or it took no more commands.
_NOT_REQUESTED = CONTACT_REASONS - {Reason.PROTOCOL_ERROR}


class Contact:
    """Which words the host has to be asked with: start, wait, or stop if the job is to end or its guard has failed.

    Args:
        pool: The connections.
        job: The job.
        view: The host, which has been probed.

    Attributes:
        host: The host.
        facts: What was last seen of it before.
        order: What it is asked to do.
        accepted: True once the host has said that the job is there.
        in_doubt: True when the job may be there although the host has not said so.

    Raises:
        HostError: A variable that the host's settings refer to isn't set here.
    """

    def __init__(self, pool: Pool, job: Job, view: HostView) -> None:
        assert view.facts is not None
        self._pool = pool
        self._job = job
        self._view = view
        self.host = view.host
        self.facts = view.facts
        self.order = _order(job, view, view.facts)
        self._overdue_at = math.inf
        self._installed = False
        self._asked_to_stop = False
        self.accepted = False
        self.in_doubt = bool(job.host)

    @property
    def secrets(self) -> frozenset[str]:
        """What is taken out of whatever the host sends back."""
        return secrets_of(self.host, self.order.settings)

    @property
    def overdue(self) -> bool:
        """Whether its guard should have stopped it by now."""
        return time.monotonic() > self._overdue_at

    async def attend(self) -> AbstractAsyncContextManager[Attendance]:
        """What opens a channel on which the job's end can be awaited; what that needs is there on return."""
        host, name, job_id = self.host, self.facts.name, self._job.job_id
        if not self._view.has_runner:
            await self._install_runner()
        self._asked_to_stop = self.overdue or self._job.stop_wanted
        if self._asked_to_stop:
            return contract.stop(self._pool, host, name, job_id)
        if self.accepted:
            return contract.wait(self._pool, host, name, job_id)
        return contract.start(self._pool, host, name, self.order)

    def has_refused(self, error: HostError) -> bool:
        """Whether an error says that the job was not started there; any other one leaves that in doubt."""
        if error.reason is Reason.NO_SLOT or (not self.accepted and error.reason in _REFUSALS):
            return True
        if not (self.accepted or self.in_doubt) and error.reason in _NOT_REQUESTED:
            return True
        # What was sent may still be on its way there, whatever the host says to the next attempt.
        self.in_doubt = True
        return False

    async def started(self, attendance: Attendance) -> float | None:
        """Waits for the host's word that the job runs, and returns for how many seconds; None when it is stopped.

        Raises:
            HostError: It has refused the job, or said nothing in time.
        """
        if self._asked_to_stop:
            return None
        try:
            with anyio.fail_after(START_SECONDS):
                started, now = await attendance.started()
        except TimeoutError:
            raise HostError(
                f"it has not said within {START_SECONDS:g} s whether the job runs.",
                host=self.host.name,
                reason=Reason.LOST_CONTACT,
                retryable=True,
            ) from None
        self.accepted = True
        self._view.note_accepted()
        self._overdue_at = time.monotonic() + self.order.seconds + GUARD_GRACE_SECONDS - (now - started)
        return now - started

    def note_missing_runner(self) -> None:
        """The host has said that the runner is not there."""
        self._view.note_runner(there=False)

    async def _install_runner(self) -> None:
        """Puts the runner there if it is missing. Of several jobs for the host, one does it for all."""
        async with self._view.installing:
            if self._view.has_runner:
                return
            if self._installed:
                raise HostError(
                    "the runner was put there, and is gone again.",
                    host=self.host.name,
                    reason=Reason.HOME_NOT_WRITABLE,
                    next_step="See what removes files from ~/.picoclaw there.",
                )
            await contract.install_runner(self._pool, self.host, self.facts.name)
            self._installed = True
            self._view.note_runner(there=True)


def _order(job: Job, view: HostView, facts: Facts) -> Order:
    # A job may take half of what is free, but never so little that it could not speak.
    free = facts.disk_free_mb
    return Order(
        job_id=job.job_id,
        task=as_message(job.task).encode(),
        seconds=job.timeout_seconds,
        slots=view.slots,
        output_limit=MAX_OUTPUT_BYTES if free is None else max(min(MAX_OUTPUT_BYTES, (free << 20) // 2), _LEAST_OUTPUT),
        settings=settings_of(view.host),
    )
