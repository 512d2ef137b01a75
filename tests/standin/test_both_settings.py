"""Settings, as the stand-in and PicoClaw itself read them: it has to be wrong as PicoClaw is wrong."""

from __future__ import annotations

import json
import stat

import pytest
from tests.standin import API_KEY, MODEL, configure
from tests.standin.host import LATER, QUIET, Host
from tests.standin.mock_llm import MockLLM

LATEST = pytest.mark.parametrize("version", ["0.2.9"])


def test_an_env_file_configures_nothing(both: Host) -> None:
    both.config.unlink()
    both.security.unlink(missing_ok=True)
    (both.home / ".picoclaw/.env").write_text(f"OPENAI_API_KEY={API_KEY}\n")
    done = both.run("agent", "-m", "hello", OPENAI_API_KEY=API_KEY)
    assert done.returncode == 1
    assert b"creating provider" in done.stdout + done.stderr


@pytest.mark.parametrize("text", ["{broken", ""])
def test_errors_are_on_stdout_in_the_first_version_and_on_stderr_later(both: Host, version: str, text: str) -> None:
    both.config.write_text(text)
    done = both.run("agent", "-m", "hello", **QUIET)
    assert done.returncode == 1
    if version == "0.1.2":
        assert done.stdout.startswith(b"Error loading config: ")
    elif version == "0.2.4":
        assert done.stderr.startswith(b"Error: error loading config: failed to detect config version: ")
    else:
        assert done.stderr.startswith(b"Error: error loading config: config.json syntax error at ")
    assert (b"ERR" in done.stdout) is (version == "0.2.9")
    assert (b"Usage:" in done.stderr) is (version == "0.2.4")


@pytest.mark.parametrize("version", LATER)
def test_a_missing_configuration_is_warned_of_on_stdout_in_spite_of_every_switch(both: Host) -> None:
    both.config.unlink()
    assert b"config file not found" in both.run("agent", "-m", "hello", **QUIET).stdout


@pytest.mark.parametrize("version", LATER)
def test_an_empty_configuration_is_none_and_stays_as_it_is(both: Host) -> None:
    both.config.write_text("{}")
    done = both.run("agent", "-m", "hello", **QUIET)
    assert b"content is [{}]" in done.stdout
    assert b'model "" not found in model_list' in done.stderr
    assert both.config.read_text() == "{}"


@LATEST
@pytest.mark.parametrize(
    ("place", "name", "told"),
    [
        ((), "_comment", "_comment"),
        (("agents", "defaults"), "model", "agents.defaults.model"),
        (("model_list", 0), "api_key", "model_list[0].api_key"),
    ],
)
def test_the_latest_version_refuses_unknown_fields_by_name(
    both: Host, place: tuple[str | int, ...], name: str, told: str
) -> None:
    settings = json.loads(both.config.read_text())
    target = settings
    for step in place:
        target = target[step]
    target[name] = "x"
    both.config.write_text(json.dumps(settings))
    done = both.run("agent", "-m", "hello")
    assert done.returncode == 1
    assert f"unknown field(s): {told}\n".encode() in done.stderr


@pytest.mark.parametrize("version", ["0.2.4"])
def test_unknown_fields_are_ignored_before_the_latest_version(both: Host, llm: MockLLM) -> None:
    both.config.write_text(json.dumps({**json.loads(both.config.read_text()), "_comment": "mine"}))
    assert both.ask("hello") == llm.reply


@pytest.mark.parametrize("version", LATER)
def test_a_configuration_from_the_future_is_refused(both: Host) -> None:
    both.write_config(version=4)
    assert b"unsupported config version: 4" in both.run("agent", "-m", "hello").stderr


@pytest.mark.parametrize(("version", "pattern"), [("0.2.4", "config.json.bak"), ("0.2.9", "config.json.????????.bak")])
def test_even_status_migrates_and_leaves_the_key_in_a_backup(
    both: Host, llm: MockLLM, version: str, pattern: str
) -> None:
    both.security.unlink()
    entry = {"model_name": MODEL, "model": f"openai/{MODEL}", "api_key": API_KEY, "api_base": llm.base_url}
    both.write_config(agents={"defaults": {"model_name": MODEL}}, model_list=[entry])
    done = both.run("status", **QUIET)
    assert b"config migrate start" in done.stdout
    assert (b"config migrate success" in done.stdout) is (version == "0.2.4")
    (backup,) = both.config.parent.glob(pattern)
    assert API_KEY in backup.read_text()
    assert API_KEY not in both.config.read_text()
    assert f"  {MODEL}:0:\n    api_keys:\n      - {API_KEY}\n" in both.security.read_text()
    assert stat.S_IMODE(both.security.stat().st_mode) == 0o600
    assert both.ask("hello") == llm.reply
    assert llm.requests[0].authorization == f"Bearer {API_KEY}"


@LATEST
def test_settings_of_the_first_version_do_not_work_in_the_latest(both: Host) -> None:
    configure(both.home, version="0.1.2")
    done = both.run("agent", "-m", "hello")
    assert done.returncode == 1
    assert b"unknown field(s): providers" in done.stderr
    assert b"Failed to load config" not in done.stdout


@pytest.mark.parametrize("version", LATER)
def test_an_empty_security_entry_wipes_inline_keys_in_the_latest_version(
    both: Host, llm: MockLLM, version: str
) -> None:
    entry = {"model_name": "m", "model": "anthropic/m", "api_base": llm.base_url, "api_keys": [API_KEY]}
    schema = 3 if version == "0.2.9" else 1
    both.write_config(version=schema, agents={"defaults": {"model_name": "m"}}, model_list=[entry])
    both.security.unlink()
    assert both.ask("hello") == llm.reply
    both.security.write_text("model_list:\n  m:0: {}\n")
    done = both.run("agent", "-m", "hello", **QUIET)
    assert (b"api_key is required for anthropic protocol" in done.stderr) is (version == "0.2.9")


@pytest.mark.parametrize("version", LATER)
@pytest.mark.parametrize(
    "shape",
    [
        'model_list:\n  "m:0":\n    api_keys: ["KEY"]\n',
        "# keys\nmodel_list:\n  m:\n    api_keys:\n      - KEY\nchannels:\n  irc: {}\n",
        '{"model_list": {"m:0": {"api_keys": ["KEY"]}}}',
        'model_list:\n  "m:0":\n    api_keys: ["file://own.key"]\n',
        'model_list:\n  m:\n    api_key: "another"\n    api_keys: ["KEY"]\n',
    ],
)
def test_a_key_in_the_security_file_reaches_the_model(both: Host, llm: MockLLM, version: str, shape: str) -> None:
    entry = {"model_name": "m", "model": "openai/m", "api_base": llm.base_url}
    schema = 3 if version == "0.2.9" else 1
    both.write_config(version=schema, agents={"defaults": {"model_name": "m"}}, model_list=[entry])
    both.security.write_text(shape.replace("KEY", API_KEY))
    (both.home / ".picoclaw/own.key").write_text(API_KEY + "\n")
    assert both.ask("hello") == llm.reply
    assert llm.requests[0].authorization == f"Bearer {API_KEY}"
    assert llm.requests[0].model == "m"


@pytest.mark.parametrize("version", LATER)
@pytest.mark.parametrize("reference", ["file://empty.key", "file://../outside.key"])
def test_a_key_file_that_is_empty_or_outside_fails_the_load(both: Host, reference: str) -> None:
    (both.home / "outside.key").write_text(API_KEY)
    (both.home / ".picoclaw/empty.key").write_text("\n")
    both.security.write_text(f'model_list:\n  {MODEL}:\n    api_keys: ["{reference}"]\n')
    done = both.run("agent", "-m", "hello")
    assert done.returncode == 1
    assert b"error loading config: " in done.stderr
    assert b"credential: " in done.stderr


@pytest.mark.parametrize("version", LATER)
def test_without_its_key_file_the_latest_version_goes_on_and_has_no_key(both: Host, llm: MockLLM, version: str) -> None:
    both.security.write_text(f'model_list:\n  {MODEL}:\n    api_keys: ["file://missing.key"]\n')
    done = both.run("agent", "-m", "hello", **QUIET)
    if version == "0.2.9":
        assert (done.returncode, llm.requests[0].authorization) == (0, "")
        assert b"missing.key: no such file or directory" in done.stdout
    else:
        assert done.returncode == 1
        assert b"missing.key: no such file or directory" in done.stderr


def test_later_versions_find_their_configuration_by_environment(both: Host, version: str) -> None:
    moved = both.home / "fleet"
    both.config.parent.rename(moved)
    by_file = both.run("agent", "-m", "hello", PICOCLAW_CONFIG=str(moved / "config.json"))
    by_home = both.run("agent", "-m", "hello", PICOCLAW_HOME=str(moved))
    expected = 1 if version == "0.1.2" else 0
    assert (by_file.returncode, by_home.returncode) == (expected, expected)


def test_the_workspace_comes_from_the_environment(both: Host, version: str) -> None:
    private = both.home / "a/private"
    both.ask("hello", PICOCLAW_AGENTS_DEFAULTS_WORKSPACE=str(private))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in private.iterdir()}
    assert set(modes) == {"sessions", "memory", "state"}
    assert modes["state"] == (modes["memory"] if version == "0.1.2" else 0o700)
    assert not (both.home / ".picoclaw/workspace").exists()


@pytest.mark.parametrize("word", ["maybe", "yes", "tRUE"])
def test_a_boolean_that_is_none_fails_the_load(both: Host, word: str) -> None:
    done = both.run("agent", "-m", "hello", PICOCLAW_AGENTS_DEFAULTS_RESTRICT_TO_WORKSPACE=word)
    assert done.returncode == 1
    words = f'parse error on field "RestrictToWorkspace" of type "bool": strconv.ParseBool: parsing "{word}"'
    assert words.encode() in done.stdout + done.stderr


@pytest.mark.parametrize("word", ["TRUE", "f", "1", ""])
def test_booleans_have_several_spellings(both: Host, llm: MockLLM, word: str) -> None:
    assert both.ask("hello", PICOCLAW_AGENTS_DEFAULTS_RESTRICT_TO_WORKSPACE=word) == llm.reply
