"""A job: one task on one host."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime

from picoclaw_fleet.errors import Reason, State
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
        host: Where it was sent, or is about to be; empty while it is queued. A queued job that has one may have come
            there after all, so it goes nowhere else, and is not over before that host has said so.
        address: Where that host was to be found when it was sent there: user, address, port and jump hosts.
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
        owner: Who asked for it, where callers have names; else empty.
        origin: The process that took it in.
        holder: The process that brings it to its end; empty when that one is gone and no other has taken it over.
        stop_wanted: True when it is to be stopped, whether or not the host could be told so far.
        told: True when a caller has seen its end.
        on_host: True while the host has files of it that are safely here as well.
        output_bytes: How much of its output lies here.
    """

    task: str
    hosts: tuple[str, ...]
    timeout_seconds: int
    batch_id: str = ""
    job_id: str = field(default_factory=new_job_id)
    host: str = ""
    address: str = ""
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
    owner: str = ""
    origin: str = ""
    holder: str = ""
    stop_wanted: bool = False
    told: bool = False
    on_host: bool = False
    output_bytes: int = 0

    @property
    def choice(self) -> tuple[str, ...]:
        """Where it may still go: one that may have been sent stays with its host, where its id can't start twice."""
        return (self.host,) if self.host else self.hosts

    def note_silence(self, why: str) -> None:
        """Its host is not heard of for now."""
        if self.stop_wanted:
            goes_on = "It is stopped there at the next contact."
        elif self.started_at is not None:
            goes_on = "The job goes on there."
        else:
            goes_on = "The job may have come there; that host is asked again, and no other gets it."
        self.reason, self.message = Reason.LOST_CONTACT, f"{why} {goes_on}"

    def fail(self, reason: Reason, message: str, next_step: str = "", host: str = "") -> None:
        """Ends the job without its having run."""
        self.host = host
        self._end(State.FAILED, reason, message, next_step)

    def cancel(self, message: str) -> None:
        """Ends the job before it was sent."""
        self._end(State.CANCELLED, Reason.CANCELLED, message, "")

    def _end(self, state: State, reason: Reason, message: str, next_step: str) -> None:
        self.state, self.reason, self.message, self.next_step = state, reason, message, next_step
        self.finished_at = datetime.now(UTC)
