"""Each version's answer is told from what else it prints."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.standin.host import ALL, QUIET, with_version

from picoclaw_fleet.errors import Reason
from picoclaw_fleet.worker.answer import MARK, TASK_PREFIX, AnswerSplitter, as_message, canned_failure, complaint

pieces_of_output = st.lists(
    st.sampled_from([b"\n", "🦞".encode(), b" ", b"\xf0\x9f", b"\xa6\x9e", MARK, b"log\r\n", b"\x1b[31m", b"text"])
    | st.binary(max_size=3),
    max_size=30,
).map(b"".join)


def split(*pieces: bytes) -> tuple[bytes, bytes, bool]:
    """The answer, the rest, and whether there was an answer."""
    answer, rest = bytearray(), bytearray()
    splitter = AnswerSplitter(answer.extend, rest.extend)
    for piece in pieces:
        splitter.write(piece)
    splitter.close()
    return bytes(answer), bytes(rest), splitter.found


@given(pieces_of_output, st.lists(st.integers(0, 200), max_size=10))
def test_stdout_in_any_pieces_gives_the_same_answer(output: bytes, cuts: list[int]) -> None:
    borders = [0, *sorted(cut % (len(output) + 1) for cut in cuts), len(output)]
    pieces = [output[start:end] for start, end in pairwise(borders)]
    before, mark, after = (b"\n" + output).partition(MARK)

    assert split(*pieces) == split(output)
    assert split(output)[0] == after
    assert split(output)[2] == bool(mark)
    assert split(output)[1] == (before + b"\n" if mark else before)[1:]


def test_a_log_that_quotes_task_and_answer_holds_no_answer() -> None:
    """As PicoClaw 0.2.3 prints it, whose logs can't be silenced."""
    log = (
        "04:10:27 INF agent  loop.go:692 (agent.(*AgentLoop).processMessage) > Processing message from cli:cron: draw\n"
        "🦞 twice channel=cli chat_id=direct sender_id=cron session_key=agent:main:fleet-x\n"
        "04:10:27 INF agent  loop.go:935 (agent.(*AgentLoop).runAgentLoop) > Response: x\n"
        "🦞 y agent_id=main final_length=22 iterations=1 session_key=agent:main:fleet-x\n"
    )

    answer, rest, _ = split(f"{log}\n🦞 x\n🦞 y\n".encode())

    assert answer == "x\n🦞 y\n".encode()
    assert rest == log.encode()


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize("quiet", [True, False])
def test_each_version_is_understood_with_its_banner_and_its_logs(tmp_path: Path, version: str, quiet: bool) -> None:
    answer = "first line\n\n🦞 not the beginning\nlast line"
    host = with_version(tmp_path, version, reply=answer, chatty=True)

    done = host.run("agent", "-m", "hello", **(QUIET if quiet else {"TERM": "dumb"}))

    assert split(done.stdout)[0] == f"{answer}\n".encode()


@pytest.mark.parametrize("version", ALL)
def test_a_huge_answer_is_whole(tmp_path: Path, version: str) -> None:
    done = with_version(tmp_path, version, huge=1 << 20).run("agent", "-m", "hello", **QUIET)
    pieces = [done.stdout[start : start + 1000] for start in range(0, len(done.stdout), 1000)]

    answer, _, found = split(*pieces)

    assert found
    assert len(answer) == (1 << 20) + 1
    assert answer.startswith(b"line \x1b[31mred")


@pytest.mark.parametrize("version", ALL)
def test_a_late_log_line_stays_with_the_answer(tmp_path: Path, version: str) -> None:
    """It can't be told from one; nothing is lost."""
    done = with_version(tmp_path, version, late_log=True).run("agent", "-m", "hello", TERM="dumb")

    assert split(done.stdout)[0].startswith(b"done: hello\n")


@pytest.mark.parametrize("version", ALL)
@pytest.mark.parametrize(
    ("knob", "reason"),
    [("empty", Reason.EMPTY_ANSWER), ("no_response", Reason.EMPTY_ANSWER), ("tool_limit", None)],
)
def test_canned_failures_are_recognised(tmp_path: Path, version: str, knob: str, reason: Reason | None) -> None:
    done = with_version(tmp_path, version, **{knob: True}).run("agent", "-m", "hello", **QUIET)

    assert done.returncode == 0
    gave_up = Reason.EMPTY_ANSWER if version == "0.1.2" else Reason.AGENT_ERROR
    assert canned_failure(split(done.stdout)[0].decode()) is (reason or gave_up)


def test_a_complaint_is_told_without_banner_and_usage() -> None:
    """As PicoClaw 0.2.4 prints it for a model that is not in its settings."""
    error = 'Error: error creating provider: model "x" not found in model_list: model "x" not found'
    usage = "Usage:\n  picoclaw agent [flags]\n\nFlags:\n  -d, --debug            Enable debug logging\n"
    banner = "\n██████╗ ██╗ ██████╗\n╚═╝     ╚═╝ ╚═════╝ ╚═════╝\n \n"

    assert complaint(f"{banner}{error}\n{usage}") == error
    assert complaint(f"{error}\n") == error
    assert complaint(banner) == ""


def test_an_answer_that_quotes_a_canned_text_is_an_answer() -> None:
    canned = "The model returned an empty response."
    assert canned_failure(f"It says: {canned}") is None
    assert canned_failure(canned + " " + "That was seen in the log. " * 20) is None


@pytest.mark.parametrize("version", ALL)
def test_an_output_without_a_mark_has_no_answer(tmp_path: Path, version: str) -> None:
    done = with_version(tmp_path, version, llm_error=401).run("agent", "-m", "hello", **QUIET)

    assert done.returncode == 1
    assert split(done.stdout)[::2] == (b"", False)


@pytest.mark.parametrize("task", ["/help me", "!important", " /show model", "\n\t!x"])
def test_what_picoclaw_would_take_for_a_command_is_introduced(task: str) -> None:
    assert as_message(task) == TASK_PREFIX + task


@pytest.mark.parametrize("task", ["help /me", "important!", "-m x", "", " a"])
def test_all_other_tasks_are_left_alone(task: str) -> None:
    assert as_message(task) == task
