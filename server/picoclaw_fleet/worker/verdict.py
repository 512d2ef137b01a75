"""What a job's ending on the host means: a state, a reason, an exit status or a signal."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from picoclaw_fleet.errors import Reason, State
from picoclaw_fleet.worker.answer import canned_failure
from picoclaw_fleet.worker.contract import Ending

_SIGNALS = frozenset(signal.valid_signals())
_SIGNAL_BASE = 128  # POSIX sh: the status of a process that a signal ended is above 128


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a job ended.

    Attributes:
        state: One of the finished states.
        reason: None for a plain success.
        exit_status: PicoClaw's own; None when it did not exit by itself.
        signal: Such as `SIGKILL`, when one that was not ours ended it; else empty.
    """

    state: State
    reason: Reason | None = None
    exit_status: int | None = None
    signal: str = ""


def judge(ending: Ending, answer: str, kills_before: int | None) -> Verdict:
    """Judges an ending.

    Args:
        ending: The host's words.
        answer: What PicoClaw printed as its answer, or the beginning of it.
        kills_before: The host's count of out-of-memory kills before the job started; None when unknown.
    """
    unverified = None if ending.stop_verified else Reason.STOP_UNVERIFIED
    match ending.outcome:
        case "timed_out":
            return Verdict(State.TIMED_OUT, unverified or Reason.TIMEOUT)
        case "cancelled":
            return Verdict(State.CANCELLED, unverified or Reason.CANCELLED)
        case "killed":
            return Verdict(State.FAILED, unverified or Reason.RUNNER_KILLED)
        case "exit" if ending.exit_status is not None:
            verdict = _judge_exit(ending, ending.exit_status, answer, kills_before)
            return Verdict(verdict.state, verdict.reason or unverified, verdict.exit_status, verdict.signal)
        case _:
            return Verdict(State.LOST, Reason.RUNNER_KILLED)


def _judge_exit(ending: Ending, status: int, answer: str, kills_before: int | None) -> Verdict:
    name = _signal_name(status)
    exit_status = None if name else status
    if ending.disk_full:
        return Verdict(State.FAILED, Reason.DISK_FULL, exit_status, name)
    if name == "SIGXFSZ" or max(ending.sizes[:2]) >= ending.output_limit > 0:
        return Verdict(State.FAILED, Reason.TOO_LARGE, exit_status, name)
    if name:
        out_of_memory = ending.kills is not None and kills_before is not None and ending.kills > kills_before
        return Verdict(State.FAILED, Reason.OUT_OF_MEMORY if out_of_memory else Reason.SIGNAL, None, name)
    if status != 0:
        return Verdict(State.FAILED, Reason.EXIT_CODE, status)
    failure = canned_failure(answer)
    return Verdict(State.FAILED, failure, status) if failure else Verdict(State.SUCCEEDED, None, status)


def _signal_name(status: int) -> str:
    number = status - _SIGNAL_BASE
    if number not in _SIGNALS:
        return ""
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals, which have no names of their own
        return f"SIG{number}"


def explain(verdict: Verdict, timeout_seconds: int) -> tuple[str, str]:
    """What happened, in a sentence, and what to do about it; both empty where there is nothing to say."""
    if verdict.reason is None:
        return "", ""
    exited = f"with status {verdict.exit_status}" if verdict.exit_status is not None else f"by {verdict.signal}"
    table: dict[Reason, tuple[str, str]] = {
        Reason.TIMEOUT: (
            f"It was stopped after {timeout_seconds} s; what it had printed by then is kept.",
            "Give a longer timeout_seconds, or a smaller task.",
        ),
        Reason.STOP_UNVERIFIED: (
            "Whether all its processes are gone could not be verified.",
            "Look at the host's processes.",
        ),
        Reason.EXIT_CODE: (f"PicoClaw ended {exited}.", "Its output says why."),
        Reason.SIGNAL: (f"PicoClaw was ended {exited}, not by us.", "Somebody on the host, or its kernel, stopped it."),
        Reason.OUT_OF_MEMORY: (
            "The host ran out of memory and killed PicoClaw.",
            "Use a host with more memory, or fewer slots on this one.",
        ),
        Reason.TOO_LARGE: (
            "A file that it wrote reached the job's limit (256 MB, or half of the free space); what is there is kept.",
            "Ask for less output.",
        ),
        Reason.DISK_FULL: ("The host's disk was full.", "Free some space there."),
        Reason.EMPTY_ANSWER: ("PicoClaw ended well, but without an answer.", "Put the task in other words."),
        Reason.AGENT_ERROR: ("PicoClaw gave up.", "Make the task smaller; its answer says where it stopped."),
        Reason.RUNNER_KILLED: (
            "Our processes on the host were killed, and the job was stopped.",
            "See whether the host ran out of memory or was restarted.",
        ),
        Reason.LOST_CONTACT: ("The host knows nothing of this job any more.", "Dispatch it again if it is needed."),
    }
    return table.get(verdict.reason, ("", ""))
