"""A job: one task on one host."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime

from picoclaw_fleet.errors import HostError, Reason, State
from picoclaw_fleet.worker.contract import new_job_id


def new_batch_id() -> str:
    """An id for the jobs of one dispatch_many."""
    return "b_" + secrets.token_hex(6)


@dataclass(slots=True, eq=False)
class Job:
    """One task on one host.

    Attributes:
        task: What the user wants done, as he wrote it.
        hosts: The names of the hosts where it may run, in config order.
        timeout_seconds: How long PicoClaw may take.
        batch_id: The batch it belongs to; empty for a single job.
        job_id: Also its name on the host.
        host: Where it was sent, or is about to be; empty while it is queued.
        sent: True from before its first byte goes out; from then on it is that host's.
        state: Where it stands.
        reason: Why, where that needs saying.
        message: The same for people; empty when there is nothing to say.
        next_step: What to do about it; empty when there is nothing to do.
        created_at: When it was asked for.
        started_at: When PicoClaw was started, by our clock; None before.
        finished_at: When all was stopped, by our clock; None before.
        duration_seconds: How long it took, by the host's uptime; None before the end.
        exit_code: PicoClaw's; None when it did not exit by itself.
        signal: The signal that ended PicoClaw, such as SIGKILL; else empty.
        files: What it left in its workspace on the host.
        notes: Peculiarities of this job that the reader should know.
    """

    task: str
    hosts: tuple[str, ...]
    timeout_seconds: int
    batch_id: str = ""
    job_id: str = field(default_factory=new_job_id)
    host: str = ""
    sent: bool = False
    state: State = State.QUEUED
    reason: Reason | None = None
    message: str = ""
    next_step: str = ""
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration_seconds: float | None = None
    exit_code: int | None = None
    signal: str = ""
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def fail(self, error: HostError) -> None:
        """Ends the job without its having run."""
        self.state = State.FAILED
        self.host = error.host
        self.reason = error.reason
        self.message = error.message
        self.next_step = error.next_step
        self.finished_at = datetime.now(UTC)
