"""Commands and settings: the stand-in has to be wrong as PicoClaw is wrong, or its users prove nothing."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from tests.standin import API_KEY, MODEL, configure, install, set_knobs
from tests.standin.host import LATER, QUIET, Host, answer_of, with_version
from tests.standin.mock_llm import MockLLM

# The command line


def test_version_names_the_installed_version(any_host: Host, version: str) -> None:
    done = any_host.run("version")
    line = next(line for line in done.stdout.decode().splitlines() if line.startswith("🦞"))
    assert line.startswith(f"🦞 picoclaw {version}")
    assert ("git:" in line) is (version != "0.1.2")
    assert done.returncode == 0


def test_the_environment_overrides_the_installed_version(host: Host) -> None:
    done = host.run("version", FAKE_PICOCLAW_VERSION="0.1.2")
    assert done.stdout.startswith("🦞 picoclaw 0.1.2\n".encode())


def test_the_installed_file_is_executable_and_needs_no_path(host: Host) -> None:
    assert stat.S_IMODE(host.binary.stat().st_mode) == 0o755
    assert host.run("version", PATH="/nowhere").returncode == 0


def test_only_the_first_version_has_a_version_flag(any_host: Host, version: str) -> None:
    assert any_host.run("--version").returncode == (0 if version == "0.1.2" else 1)


def test_an_unknown_command_fails_on_the_stream_of_the_version(any_host: Host, version: str) -> None:
    done = any_host.run("frobnicate")
    assert done.returncode == 1
    assert (b"Unknown command" in done.stdout) is (version == "0.1.2")
    assert (b"Error: unknown command" in done.stderr) is (version != "0.1.2")
    assert (b"Usage:" in done.stderr) is (version == "0.2.4")


def test_the_first_version_ignores_a_model_flag_that_later_ones_honour(any_host: Host, version: str) -> None:
    done = any_host.run("agent", "--model", "no-such", "-m", "hello", **QUIET)
    assert done.returncode == (0 if version == "0.1.2" else 1)
    assert (b'model "no-such" not found in model_list' in done.stderr) is (version != "0.1.2")


def test_an_unknown_agent_flag_is_refused_except_by_the_first_version(any_host: Host, version: str) -> None:
    assert any_host.run("agent", "--frob", "-m", "hello").returncode == (0 if version == "0.1.2" else 1)


def test_a_task_that_begins_with_a_dash_is_a_task(host: Host) -> None:
    assert host.ask("--model=x -s y") == "done: --model=x -s y"


# Output


def test_the_banner_is_absent_coloured_or_plain_by_version(any_host: Host, version: str) -> None:
    coloured, plain = any_host.run("version").stdout, any_host.run("version", NO_COLOR="1").stdout
    assert coloured.startswith(b"\r\n") is (version != "0.1.2")
    assert (b"\x1b[" in coloured) is (version != "0.1.2")
    assert (b"\x1b[" in plain) is (version == "0.2.4")
    assert coloured.count("═╗".encode()) == (0 if version == "0.1.2" else 1)


def test_a_dumb_terminal_silences_colours_in_the_latest_version(host: Host) -> None:
    assert b"\x1b[" not in host.run("version", TERM="dumb").stdout
    assert b"\x1b[" not in host.run("--no-color", "version").stdout


def test_the_time_zone_is_announced_by_the_latest_version_only(any_host: Host, version: str) -> None:
    assert (b"TZ environment: UTC\n" in any_host.run("version", TZ="UTC").stdout) is (version == "0.2.9")


def test_the_answer_follows_an_empty_line_and_a_lobster(any_host: Host) -> None:
    done = any_host.run("agent", "-m", "tidy up\nthe café", **QUIET)
    assert done.stdout.endswith("\n🦞 done: tidy up\nthe café\n".encode())


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


# Configuration


def test_an_env_file_configures_nothing(any_host: Host) -> None:
    any_host.config.unlink()
    any_host.security.unlink(missing_ok=True)
    (any_host.home / ".picoclaw/.env").write_text(f"OPENAI_API_KEY={API_KEY}\n")
    done = any_host.run("agent", "-m", "hello", OPENAI_API_KEY=API_KEY)
    assert done.returncode == 1
    assert b"creating provider" in done.stdout + done.stderr


def test_errors_are_on_stdout_in_the_first_version_and_on_stderr_later(any_host: Host, version: str) -> None:
    any_host.config.write_text("{broken")
    done = any_host.run("agent", "-m", "hello", **QUIET)
    assert done.returncode == 1
    if version == "0.1.2":
        assert done.stdout.startswith(b"Error loading config: ")
    else:
        assert done.stderr.startswith(b"Error: error loading config: ")
    assert (b"ERR" in done.stdout) is (version == "0.2.9")


def test_a_missing_configuration_is_warned_of_on_stdout_in_spite_of_every_switch(host: Host) -> None:
    host.config.unlink()
    assert b"config file not found" in host.run("agent", "-m", "hello", **QUIET).stdout


@pytest.mark.parametrize(
    ("place", "name"), [((), "_comment"), (("agents", "defaults"), "model"), (("model_list", 0), "api_key")]
)
def test_the_latest_version_refuses_unknown_fields_by_name(host: Host, place: tuple[str | int, ...], name: str) -> None:
    settings = json.loads(host.config.read_text())
    target = settings
    for step in place:
        target = target[step]
    target[name] = "x"
    host.config.write_text(json.dumps(settings))
    done = host.run("agent", "-m", "hello")
    assert done.returncode == 1
    assert b"unknown field(s): " in done.stderr
    assert f"{name}\n".encode() in done.stderr


def test_unknown_fields_are_ignored_before_the_latest_version(tmp_path: Path) -> None:
    host = with_version(tmp_path, "0.2.4")
    host.config.write_text(json.dumps({**json.loads(host.config.read_text()), "_comment": "mine"}))
    assert host.ask("hello") == "done: hello"


@pytest.mark.parametrize("version", LATER)
def test_a_configuration_from_the_future_is_refused(tmp_path: Path, version: str) -> None:
    host = with_version(tmp_path, version)
    host.write_config(version=4)
    assert b"unsupported config version: 4" in host.run("agent", "-m", "hello").stderr


@pytest.mark.parametrize(("version", "pattern"), [("0.2.4", "config.json.bak"), ("0.2.9", "config.json.????????.bak")])
def test_even_status_migrates_and_leaves_the_key_in_a_backup(tmp_path: Path, version: str, pattern: str) -> None:
    host = with_version(tmp_path, version)
    host.security.unlink()
    entry = {"model_name": MODEL, "model": f"openai/{MODEL}", "api_key": API_KEY}
    host.write_config(agents={"defaults": {"model_name": MODEL}}, model_list=[entry])
    done = host.run("status", **QUIET)
    assert b"config migrate start" in done.stdout
    (backup,) = host.config.parent.glob(pattern)
    assert API_KEY in backup.read_text()
    assert API_KEY not in host.config.read_text()
    assert API_KEY in host.security.read_text()
    assert stat.S_IMODE(host.security.stat().st_mode) == 0o600
    assert host.ask("hello") == "done: hello"


def test_settings_of_the_first_version_do_not_work_in_the_latest(host: Host) -> None:
    configure(host.home, version="0.1.2")
    done = host.run("agent", "-m", "hello")
    assert done.returncode == 1
    assert b"unknown field(s): providers" in done.stderr


def test_an_empty_security_entry_wipes_inline_keys_in_the_latest_version(host: Host) -> None:
    entry = {"model_name": "claude", "model": "anthropic/claude", "api_keys": [API_KEY]}
    host.write_config(version=3, agents={"defaults": {"model_name": "claude"}}, model_list=[entry])
    host.security.unlink()
    assert host.ask("hello") == "done: hello"
    host.security.write_text("model_list:\n  claude:0: {}\n")
    assert b"api_key is required" in host.run("agent", "-m", "hello").stderr


@pytest.mark.parametrize(
    "shape",
    [
        'model_list:\n  "m:0":\n    api_keys: ["KEY"]\n',
        "# keys\nmodel_list:\n  m:\n    api_keys:\n      - KEY\nchannels:\n  irc: {}\n",
        '{"model_list": {"m:0": {"api_keys": ["KEY"]}}}',
        'model_list:\n  "m:0":\n    api_keys: ["file://own.key"]\n',
    ],
)
def test_a_key_in_the_security_file_reaches_the_model(host: Host, llm: MockLLM, shape: str) -> None:
    entry = {"model_name": "m", "model": "openai/m", "api_base": llm.base_url}
    host.write_config(version=3, agents={"defaults": {"model_name": "m"}}, model_list=[entry])
    host.security.write_text(shape.replace("KEY", API_KEY))
    (host.home / ".picoclaw/own.key").write_text(API_KEY + "\n")
    assert host.ask("hello") == llm.reply
    assert llm.requests[0].authorization == f"Bearer {API_KEY}"
    assert llm.requests[0].model == "m"


@pytest.mark.parametrize("reference", ["file://missing.key", "file://../outside.key"])
def test_a_key_file_that_is_missing_or_outside_fails_the_load(host: Host, reference: str) -> None:
    (host.home / "outside.key").write_text(API_KEY)
    host.security.write_text(f'model_list:\n  {MODEL}:\n    api_keys: ["{reference}"]\n')
    done = host.run("agent", "-m", "hello")
    assert done.returncode == 1
    assert b"error loading config: credential" in done.stderr


def test_later_versions_find_their_configuration_by_environment(tmp_path: Path, version: str) -> None:
    host = with_version(tmp_path, version)
    moved = tmp_path / "fleet"
    host.config.parent.rename(moved)
    by_file = host.run("agent", "-m", "hello", PICOCLAW_CONFIG=str(moved / "config.json"))
    by_home = host.run("agent", "-m", "hello", PICOCLAW_HOME=str(moved))
    expected = 1 if version == "0.1.2" else 0
    assert (by_file.returncode, by_home.returncode) == (expected, expected)


def test_the_workspace_comes_from_the_environment(host: Host) -> None:
    private = host.home / "private"
    host.ask("hello", PICOCLAW_AGENTS_DEFAULTS_WORKSPACE=str(private))
    assert {path.name for path in private.iterdir()} == {"sessions", "memory", "state"}
    assert not (host.home / ".picoclaw/workspace").exists()


def test_files_outside_the_workspace_need_the_restriction_lifted(host: Host) -> None:
    outside = host.home / "outside.txt"
    set_knobs(host.home, write_files={"inside.txt": "in", str(outside): "out"})
    host.ask("hello")
    assert (host.home / ".picoclaw/workspace/inside.txt").read_text() == "in"
    assert not outside.exists()
    host.ask("hello", PICOCLAW_AGENTS_DEFAULTS_RESTRICT_TO_WORKSPACE="false")
    assert outside.read_text() == "out"


def test_a_boolean_that_is_none_fails_the_load(host: Host) -> None:
    done = host.run("agent", "-m", "hello", PICOCLAW_AGENTS_DEFAULTS_RESTRICT_TO_WORKSPACE="maybe")
    assert done.returncode == 1
    assert b"ParseBool" in done.stdout + done.stderr


# onboard and status


def test_onboard_asks_in_the_first_version_and_aborts_with_status_zero(tmp_path: Path) -> None:
    host = with_version(tmp_path, "0.1.2")
    before = host.config.read_bytes()
    done = host.run("onboard")
    assert done.returncode == 0
    assert done.stdout.endswith(b"Overwrite? (y/n): Aborted.\n")
    assert host.config.read_bytes() == before
    assert "is ready!" in host.run("onboard", stdin="y\n").stdout.decode()
    assert API_KEY not in host.config.read_text()


@pytest.mark.parametrize("version", LATER)
def test_onboard_keeps_settings_and_wipes_the_memory_in_later_versions(tmp_path: Path, version: str) -> None:
    host = with_version(tmp_path, version)
    memory = host.home / ".picoclaw/workspace/memory/MEMORY.md"
    memory.parent.mkdir(parents=True)
    memory.write_text("what the user told me")
    assert "🦞 picoclaw is ready!" in host.run("onboard").stdout.decode()
    assert "what the user told me" not in memory.read_text()
    assert host.ask("hello") == "done: hello"


def test_onboard_bakes_the_environment_into_the_settings(host: Host) -> None:
    host.run("onboard", PICOCLAW_AGENTS_DEFAULTS_WORKSPACE=str(host.home / "elsewhere"))
    assert json.loads(host.config.read_text())["agents"]["defaults"]["workspace"] == str(host.home / "elsewhere")


def test_onboard_never_makes_a_working_agent(tmp_path: Path, version: str) -> None:
    install(tmp_path, version=version, configured=False)
    host = Host(tmp_path)
    assert host.run("onboard").returncode == 0
    assert stat.S_IMODE(host.config.stat().st_mode) == 0o600
    assert host.run("agent", "-m", "hello").returncode == 1
    if version != "0.1.2":
        assert "gpt-5.4:0: {}" in host.security.read_text()


def test_status_succeeds_even_when_the_settings_are_broken(any_host: Host) -> None:
    good = any_host.run("status")
    assert f"Config: {any_host.config} ✓" in good.stdout.decode()
    assert f"Model: {MODEL}" in good.stdout.decode()
    any_host.config.write_text("{broken")
    bad = any_host.run("status")
    assert bad.returncode == 0
    assert b"Error loading config: " in bad.stdout
