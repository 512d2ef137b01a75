"""What is going on, or went on, at one host."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason, ReleaseError, UsageError


class Outcome(StrEnum):
    """How a deploy or a teardown ended at a host."""

    INSTALLED = "installed"
    UPGRADED = "upgraded"
    """Something was there before: another version, or other settings."""
    UNCHANGED = "unchanged"
    REMOVED = "removed"
    IN_PROGRESS = "in_progress"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done; the same order again joins what is under way.

    Attributes:
        verb: deploy or teardown.
        version: The wanted version; "" for the latest.
        local: A file of the user's own in the place of a release.
        force: Whether the hosts are changed in spite of a failed canary.
        purge: Whether a teardown takes what PicoClaw left behind, too.
    """

    verb: str
    version: str = ""
    local: Path | None = None
    force: bool = False
    purge: bool = False


@dataclass(frozen=True, slots=True)
class HostProgress:
    """How far it is.

    Attributes:
        step: A word or a few: waiting, download, upload, trial, ...
        done: Bytes so far, in a step that has bytes.
        total: Bytes in all; 0 in other steps.
    """

    step: str
    done: int = 0
    total: int = 0

    def __str__(self) -> str:
        return f"{self.step} {self.done / 1e6:.1f} of {self.total / 1e6:.1f} MB" if self.total else self.step


@dataclass(frozen=True, slots=True)
class HostResult:
    """How it ended, or that it has not: the fields are those of the answer.

    Attributes:
        outcome: From the closed list.
        version: What is installed now; "" when that isn't known.
        source: The repository that it came from; "local" for a file of the user's own.
        digest: SHA-256 of the binary.
        removed: What a teardown took away; paths are relative to the home.
        kept: What was left alone, and why.
        reason: Why it failed; None when it did not.
        message: In words.
        next_step: What to do about it.
    """

    outcome: Outcome
    version: str = ""
    source: str = ""
    digest: str = ""
    removed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    reason: Reason | None = None
    message: str = ""
    next_step: str = ""

    def error(self, host: str) -> HostError | None:
        """Why it failed, as an error of that host; None when it did not."""
        if self.reason is None:
            return None
        message = self.message.removeprefix(f"{host}: ")
        return HostError(message, host=host, reason=self.reason, next_step=self.next_step)

    @classmethod
    def failed(cls, error: HostError | ReleaseError | UsageError) -> HostResult:
        """A failure. A wrong setting or file of ours, which a UsageError tells of, leaves us without a release."""
        return cls(
            Outcome.FAILED, reason=error.reason or Reason.NO_RELEASE, message=error.message, next_step=error.next_step
        )


@dataclass(slots=True, eq=False)
class HostRun:
    """A deploy or a teardown at one host.

    Attributes:
        host: Where.
        order: What.
        unready_only: Whether nothing is to be done where PicoClaw is ready.
        progress: How far it is.
        was_ready: That was so.
        reported: Whether a caller has seen how it ended.
    """

    host: Host
    order: Order
    unready_only: bool = False
    progress: HostProgress = HostProgress("waiting")
    was_ready: bool = False
    reported: bool = False
    _result: HostResult | None = field(default=None)
    _ended_at: float = 0.0

    @property
    def finished(self) -> bool:
        """Whether it has ended."""
        return self._result is not None

    @property
    def result(self) -> HostResult:
        """How it ended; in_progress with the step while it hasn't."""
        if self._result is not None:
            return self._result
        return HostResult(Outcome.IN_PROGRESS, message=f"{self.host.name}: {self.progress}.")

    @property
    def age(self) -> float:
        """Seconds since it ended."""
        return time.monotonic() - self._ended_at

    def end(self, result: HostResult) -> None:
        """It has ended."""
        self._result, self._ended_at = result, time.monotonic()
        self.progress = HostProgress(result.outcome.value)
