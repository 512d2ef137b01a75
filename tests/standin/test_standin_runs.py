"""Runs: the stand-in has to be wrong as PicoClaw is wrong, or its users prove nothing."""

from __future__ import annotations

import hashlib
import os
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.standin import MODEL, configure, runs, set_knobs
from tests.standin.host import LATER, QUIET, Host, with_version
from tests.standin.mock_llm import MockLLM

COMPLETED = "I've completed processing but have no response to give."
NO_RESPONSE = "The model returned an empty response. This may indicate a provider error or token limit."
TOOL_LIMIT = (
    "I've reached `max_tool_iterations` without a final response. Increase `max_tool_iterations` in config.json"
    " if this task needs more tool steps."
)


# Commands inside a task, and the dialogue


def test_show_model_is_answered_without_the_model(any_host: Host, version: str) -> None:
    set_knobs(any_host.home, log="runs", command_log="commands", slow=60)
    suffix = f"Current model: {MODEL}" if version == "0.1.2" else f"Current Model: {MODEL} (Provider: openai)"
    assert any_host.ask("/show model") == suffix
    assert runs(any_host.home / "runs") == []
    assert len(runs(any_host.home / "commands")) == 1


def test_an_unknown_slash_command_goes_to_the_model(any_host: Host, version: str) -> None:
    assert any_host.ask("/etc/hosts is odd") == "done: /etc/hosts is odd"
    assert (any_host.ask("!clear") == "done: !clear") is (version == "0.1.2")


def test_an_empty_task_begins_a_dialogue_on_stdin(host: Host) -> None:
    ended = host.run("agent", "-m", "")
    assert ended.returncode == 0
    assert ended.stdout.endswith(b"Goodbye!\n")
    assert "🦞 done: one\n".encode() in host.run("agent", "-m", "", stdin="one\nexit\ntwo\n").stdout


# Sessions


def test_sessions_leak_without_an_agent_key(any_host: Host, version: str, llm: MockLLM) -> None:
    configure(any_host.home, version=version, api_base=llm.base_url)
    any_host.ask("my secret", "-s", "one")
    any_host.ask("what was it?", "-s", "two")
    leaked = "my secret" in [message["content"] for message in llm.requests[1].messages]
    assert leaked is (version != "0.1.2")


def test_sessions_with_an_agent_key_are_separate(any_host: Host, version: str, llm: MockLLM) -> None:
    configure(any_host.home, version=version, api_base=llm.base_url)
    any_host.ask("my secret", "-s", "agent:main:fleet-1")
    any_host.ask("what was it?", "-s", "agent:main:fleet-2")
    any_host.ask("and now?", "-s", "agent:main:fleet-1")
    asked = [[message["content"] for message in request.messages] for request in llm.requests]
    assert asked == [["my secret"], ["what was it?"], ["my secret", llm.reply, "and now?"]]
    assert (any_host.sessions / f"agent_main_fleet-1.json{'' if version == '0.1.2' else 'l'}").exists()


def test_the_latest_version_takes_over_what_the_old_shared_session_holds(host: Host, llm: MockLLM) -> None:
    configure(host.home, api_base=llm.base_url)
    host.sessions.mkdir(parents=True)
    (host.sessions / "agent_main_main.jsonl").write_text('{"role": "user", "content": "old chat"}\n')
    host.ask("hello", "-s", "agent:main:fleet-1")
    assert [message["content"] for message in llm.requests[0].messages] == ["old chat", "hello"]


def test_a_failed_run_leaves_its_message_behind_except_in_the_first_version(any_host: Host, version: str) -> None:
    set_knobs(any_host.home, llm_error=401)
    done = any_host.run("agent", "-s", "agent:main:x", "-m", "hello", **QUIET)
    assert done.returncode == 1
    assert b"API request failed:\n  Status: 401\n" in (done.stdout if version == "0.1.2" else done.stderr)
    written = [path.name for path in any_host.sessions.iterdir()]
    assert sorted(written) == ([] if version == "0.1.2" else ["agent_main_x.jsonl", "agent_main_x.meta.json"])


# The model's server


def test_a_failing_server_is_asked_again_by_the_latest_version(any_host: Host, version: str, llm: MockLLM) -> None:
    configure(any_host.home, version=version, api_base=llm.base_url)
    llm.status = 500
    done = any_host.run("agent", "-m", "hello", **QUIET)
    assert done.returncode == 1
    assert b"Status: 500" in done.stdout + done.stderr
    assert len(llm.requests) == (3 if version == "0.2.9" else 1)


def test_a_server_that_is_not_there_is_an_error(host: Host) -> None:
    with MockLLM() as gone:
        address = gone.base_url
    configure(host.home, api_base=address)
    done = host.run("agent", "-m", "hello", **QUIET)
    assert done.returncode == 1
    assert b"failed to send request: Post" in done.stderr


def test_a_model_that_says_nothing_gets_the_canned_text(any_host: Host, version: str, llm: MockLLM) -> None:
    configure(any_host.home, version=version, api_base=llm.base_url)
    llm.reply = ""
    assert any_host.ask("hello").startswith("I've completed" if version == "0.1.2" else "The model returned an empty")


# What the knobs do


def test_canned_failures_leave_the_exit_status_at_zero(any_host: Host, version: str) -> None:
    canned = {"empty": "", "no_response": COMPLETED, "tool_limit": COMPLETED}
    if version != "0.1.2":
        canned |= {"no_response": NO_RESPONSE, "tool_limit": TOOL_LIMIT}
    for knob, text in canned.items():
        set_knobs(any_host.home, **{knob: True})
        assert any_host.ask("hello") == text


def test_knobs_can_depend_on_the_task(host: Host) -> None:
    set_knobs(
        host.home, reply="plain {task}", by_task=[{"contains": "boom", "exit": 3}, {"contains": "b", "reply": "B"}]
    )
    assert host.ask("hello") == "plain hello"
    assert host.run("agent", "-m", "boom").returncode == 3
    assert host.ask("abc") == "B"


def test_the_script_variable_goes_before_the_file_in_the_home(host: Host, tmp_path: Path) -> None:
    (tmp_path / "script.json").write_text('{"reply": "from the script"}')
    assert host.ask("hello", FAKE_PICOCLAW_SCRIPT=str(tmp_path / "script.json")) == "from the script"


def test_every_run_is_recorded_once(host: Host) -> None:
    set_knobs(host.home, log="runs")
    processes = [host.start("agent", "-s", f"agent:x:{n}", "-m", f"task {n}") for n in range(5)]
    for process in processes:
        process.communicate()
    recorded = runs(host.home / "runs")
    assert {run.pid for run in recorded} == {process.pid for process in processes}
    assert {run.task_sha256 for run in recorded} == {hashlib.sha256(f"task {n}".encode()).hexdigest() for n in range(5)}
    assert {run.session for run in recorded} == {f"agent:x:{n}" for n in range(5)}
    assert {run.workspace for run in recorded} == {host.home / ".picoclaw/workspace"}


def test_a_huge_answer_has_the_size_asked_for_and_hostile_content(host: Host) -> None:
    set_knobs(host.home, huge=1 << 20)
    answer = host.run("agent", "-m", "hello", **QUIET).stdout.partition("\n🦞 ".encode())[2].removesuffix(b"\n")
    assert len(answer) == 1 << 20
    assert all(part in answer for part in ("\n🦞 ".encode(), b"\x1b[31m", b"\xff"))


def test_raw_bytes_come_out_as_they_are(host: Host) -> None:
    set_knobs(host.home, stdout_bytes=b"\x00\xff\xf0\x9f", stderr_bytes=b"\xfe oops")
    done = host.run("agent", "-m", "hello", **QUIET)
    assert done.stdout.endswith(b" \r\n\x00\xff\xf0\x9f")
    assert done.stderr == b"\xfe oops"


def test_a_panic_exits_with_status_two_and_a_trace(host: Host) -> None:
    set_knobs(host.home, panic=True)
    done = host.run("agent", "-m", "hello")
    assert done.returncode == 2
    assert b"panic: runtime error" in done.stderr
    assert b"goroutine 1 [running]" in done.stderr


def test_a_run_can_die_of_a_signal(host: Host) -> None:
    set_knobs(host.home, exit=-9)
    assert host.run("agent", "-m", "hello").returncode == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_slow_run_shows_its_partial_text_and_dies_of_signals(host: Host, number: signal.Signals) -> None:
    set_knobs(host.home, slow=60, partial="so far so good")
    with host.start("agent", "-s", "agent:main:slow", "-m", "hello", **QUIET) as process:
        assert read_until(process, b"so far so good")
        process.send_signal(number)
        assert process.wait(10) == -number
    assert "so far so good" in (host.sessions / "agent_main_slow.jsonl").read_text()


def read_until(process: subprocess.Popen[bytes], text: bytes) -> bool:
    """Reads stdout until it ends in the text; False when that takes ten seconds or the process ends first."""
    assert process.stdout is not None
    seen, deadline = b"", time.monotonic() + 10
    while not seen.endswith(text):
        readable, _, _ = select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))
        part = os.read(process.stdout.fileno(), 4096) if readable else b""
        if not part:
            return False
        seen += part
    return True


# Children

IDS = "cut -d' ' -f1,5,6 /proc/self/stat"
"""Prints pid, process group and session of a child of the shell."""


def test_commands_run_in_the_groups_and_sessions_of_the_version(any_host: Host, version: str) -> None:
    set_knobs(any_host.home, exec=f"{IDS}; pwd", reply="{output}", pids="pids")
    with any_host.start("agent", "-m", "hello", **QUIET) as process:
        output = process.communicate(timeout=20)[0].decode()
    shell = int((any_host.home / "pids").read_text())
    ids, folder = output.partition("🦞 ")[2].splitlines()[:2]
    _, group, session = map(int, ids.split())
    assert group == (os.getpgrp() if version == "0.1.2" else shell)
    assert session == os.getsid(0)
    assert folder == str(any_host.home / ".picoclaw/workspace")


@pytest.mark.parametrize("version", LATER)
def test_a_pty_command_has_a_session_of_its_own(tmp_path: Path, version: str) -> None:
    host = with_version(tmp_path, version, exec=IDS, pty=True, reply="{output}", pids="pids")
    _, group, session = map(int, host.ask("hello").split())
    shell = int((tmp_path / "pids").read_text())
    assert (group, session) == (shell, shell)


def test_a_background_command_outlives_a_run_that_succeeded(host: Host) -> None:
    set_knobs(host.home, exec="exec sleep 60", background=True, pids="pids")
    assert host.ask("hello", MARK="job-1/") == "done: hello"
    child = int((host.home / "pids").read_text())
    try:
        assert b"MARK=job-1/" in Path(f"/proc/{child}/environ").read_bytes()
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_clean_child_has_neither_environment_nor_session_of_its_run(host: Host) -> None:
    set_knobs(host.home, clean_env_child=60, pids="pids")
    host.ask("hello", MARK="job-1/")
    child = int((host.home / "pids").read_text())
    try:
        deadline = time.monotonic() + 10
        while Path(f"/proc/{child}/comm").read_text() != "sleep\n":
            assert time.monotonic() < deadline
        assert Path(f"/proc/{child}/environ").read_bytes() == b""
        assert os.getsid(child) not in (os.getsid(0), 0)
    finally:
        os.kill(child, signal.SIGKILL)
