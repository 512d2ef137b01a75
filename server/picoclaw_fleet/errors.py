"""The closed lists of outcomes, and the one tree of errors.

    FleetError
    ├── LedgerError       the controller's own store of jobs can't be read or written
    ├── UsageError        the call itself is wrong; nothing was done
    │   └── ConfigError   the fleet config is wrong; carries file, line and key
    ├── ReleaseError      no PicoClaw release could be had, or not one to be trusted; carries reason
    └── HostError         one host could not do what was asked; carries host and reason

A failed job is not an error: it is a result with a state and a reason. An error means that the work did not take place.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from picoclaw_fleet.text.plain_text import one_line


class State(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def finished(self) -> bool:
        """True when the job will not change any more."""
        return self not in (State.QUEUED, State.RUNNING)


class Reason(StrEnum):
    """Why a job or a host is not as one would wish."""

    UNREACHABLE = "unreachable"
    CONNECT_TIMEOUT = "connect_timeout"
    AUTH_FAILED = "auth_failed"
    HOST_KEY_UNKNOWN = "host_key_unknown"
    HOST_KEY_CHANGED = "host_key_changed"
    PROTOCOL_ERROR = "protocol_error"
    NOT_INSTALLED = "not_installed"
    NOT_READY = "not_ready"
    NO_SLOT = "no_slot"
    BAD_TASK = "bad_task"
    TOO_LARGE = "too_large"
    EXIT_CODE = "exit_code"
    SIGNAL = "signal"
    AGENT_ERROR = "agent_error"
    EMPTY_ANSWER = "empty_answer"
    TIMEOUT = "timeout"
    STOP_UNVERIFIED = "stop_unverified"
    CANCELLED = "cancelled"
    LOST_CONTACT = "lost_contact"
    RUNNER_KILLED = "runner_killed"
    OUT_OF_MEMORY = "out_of_memory"
    DISK_FULL = "disk_full"
    HOME_NOT_WRITABLE = "home_not_writable"
    ID_CONFLICT = "id_conflict"
    SKIPPED = "skipped"
    BUSY = "busy"
    LOCKED = "locked"
    KEY_MISSING = "key_missing"
    NO_RELEASE = "no_release"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    RATE_LIMITED = "rate_limited"
    CANARY_FAILED = "canary_failed"


CONTACT_REASONS = frozenset(
    {
        Reason.UNREACHABLE,
        Reason.CONNECT_TIMEOUT,
        Reason.AUTH_FAILED,
        Reason.HOST_KEY_UNKNOWN,
        Reason.HOST_KEY_CHANGED,
        Reason.PROTOCOL_ERROR,
    }
)
"""With these nobody gets through to a host: it is left alone for a while."""


class FleetError(Exception):
    """Base of everything this package raises on purpose.

    Args:
        message: What failed, in one sentence, without secrets.
        next_step: What the reader can do about it; empty when there is nothing to add.
    """

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.message} {self.next_step}".rstrip()


class UsageError(FleetError):
    """The call can't be carried out as it was made: a bad argument, a selector without a match, an unknown id.

    Args:
        message: What is wrong with the call.
        reason: bad_task or too_large when the task itself is refused; None otherwise.
        next_step: How to call instead.
    """

    def __init__(self, message: str, *, reason: Reason | None = None, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.reason = reason

    def __str__(self) -> str:
        code = f"{self.reason.value}: " if self.reason else ""
        return code + super().__str__()


class ConfigError(UsageError):
    """The fleet config can't be used.

    Args:
        problem: What is wrong.
        file: The config file.
        line: The line in that file, from 1; None when the whole file is meant.
        key: The path of the key, such as `hosts[2].port`; empty when the whole file is meant.
        next_step: How to mend it.
    """

    def __init__(
        self, problem: str, *, file: Path | None = None, line: int | None = None, key: str = "", next_step: str = ""
    ) -> None:
        place = ":".join(str(part) for part in (file, line) if part is not None)
        super().__init__(": ".join(part for part in (place, key, problem) if part), next_step=next_step)
        self.file = file
        self.line = line
        self.key = key


class ReleaseError(FleetError):
    """A release of PicoClaw could not be found, downloaded, verified or unpacked. No host was touched for it.

    Args:
        message: What failed, and with which repository, file or server.
        reason: no_release (there is none, or it could not be had), checksum_mismatch (what came is not what was
            published, or nothing says what was) or rate_limited.
        retryable: True when the same call may work later without anybody changing anything.
        next_step: What to do about it.
    """

    def __init__(self, message: str, *, reason: Reason, retryable: bool = False, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.reason = reason
        self.retryable = retryable


class HostError(FleetError):
    """One host could not do what was asked of it.

    Args:
        message: What failed, without the host's name. It may quote the host: what could move a cursor or begin another
            line of a log is taken out.
        host: The name of the host in the fleet config.
        reason: Why, from the closed list.
        retryable: True when the same call may work later without anybody changing anything.
        next_step: What to do about it.
    """

    def __init__(
        self, message: str, *, host: str, reason: Reason, retryable: bool = False, next_step: str = ""
    ) -> None:
        super().__init__(f"{host}: {one_line(message)}", next_step=next_step)
        self.host = host
        self.reason = reason
        self.retryable = retryable


class LedgerError(FleetError):
    """The controller's own store of jobs can't be read or written. Jobs on hosts go on all the same."""
