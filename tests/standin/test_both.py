"""Commands and runs, as the stand-in and PicoClaw itself have them: it has to be wrong as PicoClaw is wrong."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from tests.standin import API_KEY, MODEL, set_knobs
from tests.standin.host import LATER, QUIET, Host
from tests.standin.mock_llm import MockLLM
from tests.worker.site import is_alive

LATEST = pytest.mark.parametrize("version", ["0.2.9"])

# The command line


def test_version_names_the_installed_version(both: Host, version: str) -> None:
    done = both.run("version")
    assert f"\n🦞 picoclaw {version}" in f"\n{done.stdout.decode()}"
    assert done.returncode == 0
    assert both.run("version", PATH="/nowhere").returncode == 0


def test_only_the_first_version_has_a_version_flag(both: Host, version: str) -> None:
    assert both.run("--version").returncode == (0 if version == "0.1.2" else 1)
    assert both.run("-v").returncode == (0 if version == "0.1.2" else 1)
    assert both.run("v").returncode == (1 if version == "0.1.2" else 0)


def test_an_unknown_command_fails_on_the_stream_of_the_version(both: Host, version: str) -> None:
    done = both.run("frobnicate")
    assert done.returncode == 1
    assert (b"Unknown command: frobnicate\n" in done.stdout) is (version == "0.1.2")
    told = {"0.1.2": "", "0.2.4": "\nRun 'picoclaw --help' for usage.\n", "0.2.9": "\n"}[version]
    assert done.stderr.decode() == (told and f'Error: unknown command "frobnicate" for "picoclaw"{told}')


@pytest.mark.parametrize("flag", ["--frob", "-x"])
def test_an_unknown_flag_is_refused_with_the_usage_except_by_the_first_version(
    both: Host, version: str, flag: str
) -> None:
    done = both.run("agent", flag, "-m", "hello")
    assert done.returncode == (0 if version == "0.1.2" else 1)
    words = "unknown flag: --frob" if flag == "--frob" else "unknown shorthand flag: 'x' in -x"
    assert done.stderr.decode().startswith(f"Error: {words}\n") is (version != "0.1.2")
    assert (b"Usage:" in done.stderr) is (version != "0.1.2")


def test_the_first_version_ignores_a_model_flag_that_later_ones_honour(both: Host, version: str) -> None:
    done = both.run("agent", "--model", "no-such", "-m", "hello", **QUIET)
    assert done.returncode == (0 if version == "0.1.2" else 1)
    assert (b'model "no-such" not found in model_list' in done.stderr) is (version != "0.1.2")
    assert (b"Usage:" in done.stderr) is (version == "0.2.4")


@pytest.mark.parametrize("task", ["--model=x -s y", "tidy up\nthe café", "\u202e 日本 🦞"])
def test_a_task_comes_to_the_model_as_it_is(both: Host, llm: MockLLM, task: str) -> None:
    both.ask(task)
    assert llm.requests[0].messages == [{"role": "user", "content": task}]


# Output


def test_the_banner_is_absent_coloured_or_plain_by_version(both: Host, version: str) -> None:
    coloured, plain = both.run("version").stdout, both.run("version", NO_COLOR="1").stdout
    assert coloured.startswith(b"\r\n") is (version != "0.1.2")
    assert (b"\x1b[" in coloured) is (version != "0.1.2")
    assert (b"\x1b[" in plain) is (version == "0.2.4")
    assert coloured.count("█".encode()) > 20 or version == "0.1.2"


@LATEST
def test_a_dumb_terminal_silences_colours_in_the_latest_version(both: Host) -> None:
    assert b"\x1b[" not in both.run("version", TERM="dumb").stdout
    assert b"\x1b[" not in both.run("--no-color", "version").stdout


def test_the_time_zone_is_announced_by_the_latest_version_only(both: Host, version: str) -> None:
    assert (b"TZ environment: UTC\n" in both.run("version", TZ="UTC").stdout) is (version == "0.2.9")


def test_the_answer_follows_an_empty_line_and_a_lobster(both: Host, llm: MockLLM, version: str) -> None:
    llm.reply = "one\n\n🦞 two\n"
    done = both.run("agent", "-m", "hello", **QUIET)
    assert done.stdout.endswith("\n🦞 one\n\n🦞 two\n\n".encode())
    assert (done.stderr == b"") is (version != "0.1.2")


def test_log_lines_go_where_the_version_sends_them(both: Host, version: str) -> None:
    for task in ("hello", "/show model"):
        done = both.run("agent", "-m", task)
        logged = f"[INFO] agent: Processing message from cli:cron: {task}".encode()
        assert (logged in done.stderr) is (version == "0.1.2")
        assert b"Processing" not in done.stdout
        chatty = both.run("agent", "-m", task, PICOCLAW_LOG_LEVEL="info")
        assert (f"Processing message from cli:cron: {task}".encode() in chatty.stdout) is (version != "0.1.2")


def test_the_first_version_logs_the_answer_as_well(both: Host, llm: MockLLM, version: str) -> None:
    assert (f"Response: {llm.reply}".encode() in both.run("agent", "-m", "hello").stderr) is (version == "0.1.2")


def test_only_the_latest_version_logs_what_the_model_s_server_refuses(both: Host, llm: MockLLM, version: str) -> None:
    llm.status = 401
    done = both.run("agent", "-m", "hello")
    assert (b"LLM call failed" in done.stdout.partition(b"Error: ")[0]) is (version == "0.2.9")
    assert (b"[ERROR] agent: LLM call failed" in done.stderr) is (version == "0.1.2")


@LATEST
def test_a_log_file_takes_the_log_away_from_stdout(both: Host) -> None:
    done = both.run("agent", "-m", "hello", PICOCLAW_LOG_LEVEL="info", PICOCLAW_LOG_FILE=str(both.home / "log"))
    assert b"Processing" not in done.stdout
    assert "Processing" in (both.home / "log").read_text()


# onboard and status


@pytest.mark.parametrize("version", ["0.1.2"])
def test_onboard_asks_in_the_first_version_and_aborts_with_status_zero(both: Host) -> None:
    before = both.config.read_bytes()
    done = both.run("onboard")
    assert done.returncode == 0
    assert done.stdout.endswith(b"Overwrite? (y/n): Aborted.\n")
    assert both.config.read_bytes() == before
    assert "is ready!" in both.run("onboard", stdin="y\n").stdout.decode()
    assert API_KEY not in both.config.read_text()


@pytest.mark.parametrize("version", LATER)
def test_onboard_keeps_settings_and_wipes_the_memory_in_later_versions(both: Host, llm: MockLLM) -> None:
    memory = both.home / ".picoclaw/workspace/memory/MEMORY.md"
    memory.parent.mkdir(parents=True)
    memory.write_text("what the user told me")
    assert "\n🦞 picoclaw is ready!\n" in both.run("onboard").stdout.decode()
    assert "what the user told me" not in memory.read_text()
    assert both.ask("hello") == llm.reply
    assert llm.requests[0].authorization == f"Bearer {API_KEY}"


@pytest.mark.parametrize("version", LATER)
def test_onboard_bakes_the_environment_into_the_settings(both: Host) -> None:
    both.run("onboard", PICOCLAW_AGENTS_DEFAULTS_WORKSPACE=str(both.home / "elsewhere"))
    assert json.loads(both.config.read_text())["agents"]["defaults"]["workspace"] == str(both.home / "elsewhere")


def test_onboard_never_makes_a_working_agent(both: Host, version: str) -> None:
    both.config.unlink()
    both.security.unlink(missing_ok=True)
    assert both.run("onboard").returncode == 0
    assert stat.S_IMODE(both.config.stat().st_mode) == 0o600
    for name in ("AGENT.md", "SOUL.md", "USER.md", "memory/MEMORY.md", "skills/github/SKILL.md"):
        assert (both.home / ".picoclaw/workspace" / name).is_file()
    assert both.run("agent", "-m", "hello").returncode == 1
    if version != "0.1.2":
        written = both.security.read_text()
        assert ("model_list: {}" if version == "0.2.4" else "  gpt-5.4:0: {}\n") in written


def test_status_succeeds_even_when_the_settings_are_broken(both: Host) -> None:
    good = both.run("status")
    assert f"Config: {both.config} ✓" in good.stdout.decode()
    assert f"Model: {MODEL}" in good.stdout.decode()
    both.config.write_text("{broken")
    bad = both.run("status")
    assert bad.returncode == 0
    assert b"Error loading config: " in bad.stdout


# Commands inside a task, and the dialogue


def test_show_model_is_answered_without_the_model(both: Host, version: str, llm: MockLLM) -> None:
    suffix = f"Current model: {MODEL}" if version == "0.1.2" else f"Current Model: {MODEL} (Provider: openai)"
    assert both.ask("/show model") == suffix
    assert both.ask("/show model of what") == suffix
    assert llm.requests == []
    assert not list(both.sessions.iterdir())


def test_an_unknown_slash_command_goes_to_the_model(both: Host, version: str, llm: MockLLM) -> None:
    asked = ["/etc/hosts is odd", "/", "!"]
    if version == "0.1.2":
        asked += ["!show model", "/Show model", "/show@bot model", "/help", "!clear"]
    if version != "0.2.9":
        asked += ["/stop", "/context"]
    for task in [*asked, "!show model", "/Show model", "/show@bot model", "/help", "!clear", "/stop", "/context"]:
        both.ask(task, "-s", f"agent:main:{len(llm.requests)}")
    distinct = dict.fromkeys(request.messages[-1]["content"] for request in llm.requests)
    assert list(distinct) == asked


def test_an_empty_task_begins_a_dialogue_on_stdin(both: Host, llm: MockLLM) -> None:
    ended = both.run("agent", "-m", "")
    assert ended.returncode == 0
    assert ended.stdout.endswith(b"Goodbye!\n")
    assert f"🦞 {llm.reply}\n".encode() in both.run("agent", "-m", "", stdin="one\nexit\ntwo\n").stdout
    assert [request.messages[-1]["content"] for request in llm.requests] == ["one"]


# Sessions


def test_sessions_leak_without_an_agent_key(both: Host, version: str, llm: MockLLM) -> None:
    both.ask("my secret", "-s", "one")
    both.ask("what was it?", "-s", "two")
    leaked = "my secret" in [message["content"] for message in llm.requests[1].messages]
    assert leaked is (version != "0.1.2")


def test_sessions_with_an_agent_key_are_separate(both: Host, version: str, llm: MockLLM) -> None:
    both.ask("my secret", "-s", "agent:main:fleet-1")
    both.ask("what was it?", "-s", "agent:main:fleet-2")
    both.ask("and now?", "-s", "agent:main:fleet-1")
    asked = [[message["content"] for message in request.messages] for request in llm.requests]
    assert asked == [["my secret"], ["what was it?"], ["my secret", llm.reply, "and now?"]]
    written = {path.name: path for path in both.sessions.iterdir()}
    ends = ["json"] if version == "0.1.2" else ["jsonl", "meta.json"]
    assert set(written) == {f"agent_main_fleet-{number}.{end}" for number in (1, 2) for end in ends}
    if version != "0.1.2":
        lines = written["agent_main_fleet-2.jsonl"].read_text().splitlines()
        assert lines[0] == '{"role":"user","content":"what was it?"}'
        assert lines[1].startswith(f'{{"role":"assistant","content":"{llm.reply}"')


@LATEST
@pytest.mark.parametrize("session", ["agent:main:fleet-1", "cli:default"])
def test_the_latest_version_takes_over_what_the_old_shared_session_holds(
    both: Host, llm: MockLLM, session: str
) -> None:
    both.sessions.mkdir(parents=True)
    (both.sessions / "agent_main_main.jsonl").write_text('{"role": "user", "content": "old chat"}\n')
    both.ask("hello", "-s", session)
    assert [message["content"] for message in llm.requests[0].messages] == ["old chat", "hello"]


def test_a_failed_run_leaves_its_message_behind_except_in_the_first_version(
    both: Host, version: str, llm: MockLLM
) -> None:
    llm.status = 401
    done = both.run("agent", "-s", "agent:main:x", "-m", "hello", **QUIET)
    assert done.returncode == 1
    assert b"API request failed:\n  Status: 401\n" in (done.stdout if version == "0.1.2" else done.stderr)
    written = [path.name for path in both.sessions.iterdir()]
    assert sorted(written) == ([] if version == "0.1.2" else ["agent_main_x.jsonl", "agent_main_x.meta.json"])


# The model's server


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_failing_server_is_not_asked_again(both: Host, llm: MockLLM, status: int) -> None:
    llm.status = status
    done = both.run("agent", "-m", "hello", **QUIET)
    assert done.returncode == 1
    assert f"Status: {status}".encode() in done.stdout + done.stderr
    assert len(llm.requests) == 1


def test_a_server_that_is_not_there_is_an_error(both: Host) -> None:
    with MockLLM() as gone:
        address = gone.base_url
    settings = json.loads(both.config.read_text())
    for entry in [*settings.get("model_list", []), *settings.get("providers", {}).values()]:
        entry["api_base"] = address
    both.config.write_text(json.dumps(settings))
    done = both.run("agent", "-m", "hello", **QUIET)
    assert done.returncode == 1
    where = address.removeprefix("http://").removesuffix("/v1")
    words = f'failed to send request: Post "{address}/chat/completions": dial tcp {where}: connect: connection refused'
    assert words.encode() in done.stdout + done.stderr


def test_a_model_that_says_nothing_gets_the_canned_text(both: Host, version: str, llm: MockLLM) -> None:
    llm.reply = ""
    assert both.ask("hello").startswith("I've completed" if version == "0.1.2" else "The model returned an empty")
    llm.reply = "  \n"
    assert both.ask("hello") == "  \n"


# Children and signals


@contextmanager
def running(host: Host, llm: MockLLM, *how: str) -> Generator[tuple[subprocess.Popen[bytes], int]]:
    """A run with a command of the model's under way: the run, and the pid of the command's shell."""
    workspace = host.home / ".picoclaw/workspace"
    workspace.mkdir(parents=True, exist_ok=True)
    os.mkfifo(workspace / "arrival")
    # A terminal ends with the run that has made it, and must not end the command.
    llm.command, llm.how = "trap '' HUP; echo $$ >arrival; read line <arrival", how
    # PicoClaw runs what its model says, the stand-in what its test says.
    set_knobs(host.home, exec=llm.command, **dict.fromkeys(how, True))
    with host.start("agent", "-m", "hello", **QUIET, MARK="job-1/") as process:
        shell = int((workspace / "arrival").read_text())
        try:
            yield process, shell
        finally:
            process.kill()
            with suppress(ProcessLookupError):
                os.kill(shell, signal.SIGKILL)


def test_commands_run_in_the_groups_and_sessions_of_the_version(both: Host, version: str, llm: MockLLM) -> None:
    with running(both, llm) as (_, shell):
        assert os.getpgid(shell) == (os.getpgrp() if version == "0.1.2" else shell)
        assert os.getsid(shell) == os.getsid(0)
        assert Path(f"/proc/{shell}/cwd").readlink() == both.home / ".picoclaw/workspace"
        assert b"MARK=job-1/" in Path(f"/proc/{shell}/environ").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_run_dies_of_signals_and_its_command_does_not(both: Host, llm: MockLLM, number: signal.Signals) -> None:
    with running(both, llm) as (process, shell):
        process.send_signal(number)
        assert process.wait(10) == -number
        assert is_alive(shell)


@LATEST
def test_a_background_command_with_a_pty_has_a_session_of_its_own(both: Host, llm: MockLLM) -> None:
    with running(both, llm, "background", "pty") as (_, shell):
        assert os.getsid(shell) == os.getpgid(shell) == shell


@LATEST
def test_a_background_command_outlives_a_run_that_succeeded(both: Host, llm: MockLLM) -> None:
    with running(both, llm, "background") as (process, shell):
        assert process.wait(10) == 0
        assert is_alive(shell)
        assert os.getpgid(shell) == shell
