"""What a host's words about the end of a job mean."""

from __future__ import annotations

from typing import Any

import pytest

from picoclaw_fleet.errors import Reason, State
from picoclaw_fleet.worker.contract import Ending
from picoclaw_fleet.worker.verdict import Verdict, explain, judge

NO_ANSWER = "The model returned an empty response. This may indicate a provider error or token limit."
GAVE_UP = "I've reached `max_tool_iterations` without a final response."


def ending(**changes: Any) -> Ending:
    values: dict[str, Any] = {
        "outcome": "exit",
        "exit_status": 0,
        "disk_full": False,
        "stop_verified": True,
        "started": 10.0,
        "ended": 11.0,
        "now": 12.0,
        "kills": None,
        "output_limit": 1000,
        "sizes": (10, 0, 0, 0),
    }
    return Ending(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "answer", "expected"),
    [
        ({}, "42", Verdict(State.SUCCEEDED, None, 0)),
        ({"stop_verified": False}, "42", Verdict(State.SUCCEEDED, Reason.STOP_UNVERIFIED, 0)),
        ({}, "", Verdict(State.FAILED, Reason.EMPTY_ANSWER, 0)),
        ({}, NO_ANSWER, Verdict(State.FAILED, Reason.EMPTY_ANSWER, 0)),
        ({}, GAVE_UP, Verdict(State.FAILED, Reason.AGENT_ERROR, 0)),
        ({"exit_status": 1}, "42", Verdict(State.FAILED, Reason.EXIT_CODE, 1)),
        ({"exit_status": 128}, "", Verdict(State.FAILED, Reason.EXIT_CODE, 128)),
        ({"exit_status": 255}, "", Verdict(State.FAILED, Reason.EXIT_CODE, 255)),
        ({"exit_status": 137}, "", Verdict(State.FAILED, Reason.SIGNAL, None, "SIGKILL")),
        ({"exit_status": 139}, "", Verdict(State.FAILED, Reason.SIGNAL, None, "SIGSEGV")),
        ({"exit_status": 128 + 40}, "", Verdict(State.FAILED, Reason.SIGNAL, None, "SIG40")),
        ({"exit_status": 137, "kills": 4}, "", Verdict(State.FAILED, Reason.OUT_OF_MEMORY, None, "SIGKILL")),
        ({"exit_status": 137, "kills": 3}, "", Verdict(State.FAILED, Reason.SIGNAL, None, "SIGKILL")),
        ({"exit_status": 128 + 25}, "", Verdict(State.FAILED, Reason.TOO_LARGE, None, "SIGXFSZ")),
        ({"exit_status": 2, "sizes": (1000, 0, 0, 0)}, "", Verdict(State.FAILED, Reason.TOO_LARGE, 2)),
        ({"exit_status": 2, "sizes": (0, 1000, 0, 0)}, "", Verdict(State.FAILED, Reason.TOO_LARGE, 2)),
        ({"sizes": (5, 0, 0, 0), "output_limit": 0}, "42", Verdict(State.SUCCEEDED, None, 0)),
        ({"exit_status": 1, "disk_full": True}, "", Verdict(State.FAILED, Reason.DISK_FULL, 1)),
        ({"outcome": "timed_out", "exit_status": None}, "", Verdict(State.TIMED_OUT, Reason.TIMEOUT)),
        ({"outcome": "cancelled", "exit_status": None}, "", Verdict(State.CANCELLED, Reason.CANCELLED)),
        ({"outcome": "killed", "exit_status": None}, "", Verdict(State.FAILED, Reason.RUNNER_KILLED)),
        ({"outcome": "lost", "exit_status": None}, "", Verdict(State.LOST, Reason.RUNNER_KILLED)),
        ({"outcome": "exit", "exit_status": None}, "", Verdict(State.LOST, Reason.RUNNER_KILLED)),
        ({"outcome": "gibberish", "exit_status": None}, "", Verdict(State.LOST, Reason.RUNNER_KILLED)),
        (
            {"outcome": "timed_out", "exit_status": None, "stop_verified": False},
            "",
            Verdict(State.TIMED_OUT, Reason.STOP_UNVERIFIED),
        ),
    ],
)
def test_an_ending_is_judged(changes: dict[str, Any], answer: str, expected: Verdict) -> None:
    assert judge(ending(**changes), answer, kills_before=3) == expected


def test_a_kill_is_no_sign_of_short_memory_where_nobody_has_counted_before() -> None:
    assert judge(ending(exit_status=137, kills=4), "", kills_before=None).reason is Reason.SIGNAL


@pytest.mark.parametrize("outcome", ["exit", "timed_out", "cancelled", "killed", "lost"])
@pytest.mark.parametrize("status", [None, 0, 1, 137, 255])
def test_whatever_ended_is_finished_and_only_a_plain_success_needs_no_reason(outcome: str, status: int | None) -> None:
    verdict = judge(ending(outcome=outcome, exit_status=status), "42", None)

    assert verdict.state.finished
    assert (verdict.reason is None) == (verdict.state is State.SUCCEEDED)
    assert verdict.exit_status is None or not verdict.signal


def test_each_reason_that_a_verdict_gives_is_explained() -> None:
    for reason in (
        Reason.TIMEOUT,
        Reason.STOP_UNVERIFIED,
        Reason.EXIT_CODE,
        Reason.SIGNAL,
        Reason.OUT_OF_MEMORY,
        Reason.TOO_LARGE,
        Reason.DISK_FULL,
        Reason.EMPTY_ANSWER,
        Reason.AGENT_ERROR,
        Reason.RUNNER_KILLED,
    ):
        message, next_step = explain(Verdict(State.FAILED, reason, 1), 120)
        assert message
        assert next_step
    assert explain(Verdict(State.SUCCEEDED), 120) == ("", "")
