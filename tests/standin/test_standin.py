"""What the stand-in does at a test's bidding. What it has in common with PicoClaw is in test_both*.py."""

from __future__ import annotations

import hashlib
import os
import select
import signal
import stat
import subprocess
import time
from pathlib import Path

import pytest
from tests.standin import runs, set_knobs
from tests.standin.host import LATER, QUIET, Host, answer_of, with_version

COMPLETED = "I've completed processing but have no response to give."
NO_RESPONSE = "The model returned an empty response. This may indicate a provider error or token limit."
TOOL_LIMIT = (
    "I've reached `max_tool_iterations` without a final response. Increase `max_tool_iterations` in config.json"
    " if this task needs more tool steps."
)


def test_releases_say_what_they_were_made_of_except_the_first(any_host: Host, version: str) -> None:
    assert (b"(git: " in any_host.run("version").stdout) is (version != "0.1.2")


def test_the_environment_overrides_the_installed_version(host: Host) -> None:
    done = host.run("version", FAKE_PICOCLAW_VERSION="0.1.2")
    assert done.stdout.startswith("🦞 picoclaw 0.1.2\n".encode())


def test_the_installed_file_is_executable_and_needs_no_path(host: Host) -> None:
    assert stat.S_IMODE(host.binary.stat().st_mode) == 0o755
    assert host.run("version", PATH="/nowhere").returncode == 0


def test_log_lines_go_where_the_version_sends_them(any_host: Host, version: str) -> None:
    set_knobs(any_host.home, chatty=True)
    done = any_host.run("agent", "-m", "hello")
    assert (b"[INFO]" in done.stderr) is (version == "0.1.2")
    assert (b"of level warn" in done.stdout) is (version == "0.2.9")
    assert b"of level info" not in done.stdout


@pytest.mark.parametrize("version", LATER)
def test_the_log_level_comes_from_the_environment(tmp_path: Path, version: str) -> None:
    host = with_version(tmp_path, version, chatty=True)
    assert b"of level info" in host.run("agent", "-m", "hello", PICOCLAW_LOG_LEVEL="info").stdout
    assert b"of level error" not in host.run("agent", "-m", "hello", PICOCLAW_LOG_LEVEL="fatal").stdout


def test_a_log_file_takes_the_log_away_from_stdout(host: Host) -> None:
    set_knobs(host.home, chatty=True)
    done = host.run("agent", "-m", "hello", PICOCLAW_LOG_FILE=str(host.home / "log"))
    assert b"of level" not in done.stdout
    assert "of level warn" in (host.home / "log").read_text()


def test_a_late_log_line_follows_the_answer(host: Host) -> None:
    set_knobs(host.home, late_log=True)
    noisy = answer_of(host.run("agent", "-m", "hello", PICOCLAW_LOG_LEVEL="error"))
    assert noisy.startswith("done: hello\n")
    assert "ERR" in noisy.splitlines()[-1]
    assert host.ask("hello") == "done: hello"


def test_files_outside_the_workspace_need_the_restriction_lifted(host: Host) -> None:
    outside = host.home / "outside.txt"
    set_knobs(host.home, write_files={"inside.txt": "in", str(outside): "out"})
    host.ask("hello")
    assert (host.home / ".picoclaw/workspace/inside.txt").read_text() == "in"
    assert not outside.exists()
    host.ask("hello", PICOCLAW_AGENTS_DEFAULTS_RESTRICT_TO_WORKSPACE="false")
    assert outside.read_text() == "out"


# Answers


def test_what_is_answered_without_the_model_is_recorded_elsewhere(any_host: Host) -> None:
    set_knobs(any_host.home, log="runs", command_log="commands", slow=60)
    assert any_host.ask("/show model")
    assert runs(any_host.home / "runs") == []
    assert len(runs(any_host.home / "commands")) == 1


def test_the_model_s_server_can_refuse(any_host: Host, version: str) -> None:
    set_knobs(any_host.home, llm_error=401)
    done = any_host.run("agent", "-m", "hello", **QUIET)
    assert done.returncode == 1
    assert b"API request failed:\n  Status: 401\n" in (done.stdout if version == "0.1.2" else done.stderr)


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


def test_what_commands_print_can_stand_in_the_answer_and_their_pids_in_a_file(host: Host) -> None:
    set_knobs(host.home, exec=["echo $$", "pwd"], reply="{output}", pids="pids")
    shell, folder, _ = host.ask("hello").split("\n")
    assert (host.home / "pids").read_text().splitlines()[0] == shell
    assert folder == str(host.home / ".picoclaw/workspace")


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
