from __future__ import annotations

import json
import os
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from picoclaw_fleet.config.file import TEMPLATE, ConfigSource, config_path, create_template, load_config
from picoclaw_fleet.config.model import FleetConfig
from picoclaw_fleet.errors import ConfigError, FleetError

# Byte for byte what the user's skill tells to write.
USERS_TEMPLATE = """\
{
"hosts": [
{
"name": "darth",
"host": "192.168.50.57",
"user": "eric",
"arch": "arm64",
"ssh_key": "~/.ssh/id_rsa"
}
],
"defaults": {
"provider": "anthropic",
"api_key_env": "ANTHROPIC_API_KEY"
}
}
"""
KEY = "sk-" + "ant-api03-abcdefghijkl"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "fleet.json"


def refusal(file: Path, content: str | bytes) -> ConfigError:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    return caught.value


def fleet(*hosts: str) -> str:
    return json.dumps({"hosts": [{"name": host, "host": f"{host}.example.com"} for host in hosts]}, indent=1)


# Where it is found


def test_the_argument_goes_before_the_variable_and_the_variable_before_the_usual_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    usual = tmp_path / ".openclaw/workspace/config/picoclaw-fleet.json"
    assert config_path("~/a.json", {"PICOCLAW_FLEET_CONFIG": "/b.json"}) == tmp_path / "a.json"
    assert config_path(None, {"PICOCLAW_FLEET_CONFIG": "/b.json"}) == Path("/b.json")
    assert config_path(None, {"PICOCLAW_FLEET_CONFIG": ""}) == usual
    assert config_path(environ={}) == usual


def test_the_environment_of_the_process_is_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICOCLAW_FLEET_CONFIG", "/c.json")
    assert config_path() == Path("/c.json")


# The template


def test_the_users_own_template_is_valid_as_it_is(file: Path) -> None:
    file.write_text(USERS_TEMPLATE)
    config = load_config(file)
    assert config.hosts[0].model_dump(exclude_unset=True) == {
        "name": "darth",
        "host": "192.168.50.57",
        "user": "eric",
        "arch": "arm64",
        "ssh_key": "~/.ssh/id_rsa",
    }
    assert config.defaults.model_dump(exclude_unset=True) == {
        "provider": "anthropic",
        "api_key_env": "ANTHROPIC_API_KEY",
    }


def test_the_template_is_the_users_own() -> None:
    assert json.loads(TEMPLATE) == json.loads(USERS_TEMPLATE)


def test_a_missing_file_is_created_from_the_template_and_the_error_says_what_to_edit(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "fleet.json"
    source = ConfigSource(file)
    with pytest.raises(ConfigError) as caught:
        source.current()
    assert str(caught.value).startswith(f"There was no fleet config, so the template was created at {file}.")
    assert "Edit host, user and ssh_key" in str(caught.value)
    assert file.read_text() == TEMPLATE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.iterdir()) == [file]
    assert [host.name for host in source.current().hosts] == ["darth"]


def test_the_template_never_overwrites_a_file(file: Path) -> None:
    file.write_text("mine")
    assert not create_template(file)
    assert file.read_text() == "mine"
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is a folder in which not even root can make a file")
def test_a_file_is_there_also_where_none_could_be_made() -> None:
    assert not create_template(Path("/proc/version"))


def test_of_many_that_create_the_template_at_once_one_does(file: Path) -> None:
    with ThreadPoolExecutor(16) as threads:
        created = list(threads.map(create_template, [file] * 64))
    assert created.count(True) == 1
    assert file.read_text() == TEMPLATE
    assert list(file.parent.iterdir()) == [file]


def test_a_template_that_cannot_be_created_is_an_error_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "closed").write_text("")
    file = tmp_path / "closed" / "sub" / "fleet.json"
    with pytest.raises(ConfigError, match="the template can't be created: Not a directory") as caught:
        create_template(file)
    assert caught.value.file == file


def test_a_link_that_leads_nowhere_is_an_error_and_stays(file: Path) -> None:
    file.symlink_to(file.with_name("gone.json"))
    with pytest.raises(ConfigError, match="can't be read: No such file"):
        ConfigSource(file).current()
    assert file.is_symlink()
    assert not file.exists()


# What is wrong with it


def test_broken_json_is_told_with_line_and_column(file: Path) -> None:
    error = refusal(file, '{\n "hosts": [\n  {"name": "a" "host": "h"}\n ]\n}')
    assert (error.file, error.line, error.key) == (file, 3, "")
    assert str(error) == f"{file}:3: broken JSON in column 16: a comma or }} was expected, not '\"'."


def lines(*hosts: str, defaults: str = "{}") -> str:
    """A config with each host on a line of its own, from line 2 on, and the defaults on the line after them."""
    return '{"hosts": [\n' + ",\n".join(hosts) + '],\n"defaults": ' + defaults + "}"


def http(settings: str) -> str:
    """A config with settings of `http` on line 2."""
    return '{"hosts": [],\n"http": {' + settings + "}}"


def token(keys: str) -> str:
    """A config with further keys of a token on line 2."""
    return http('"tokens": [{"name": "a", "sha256": "' + "0" * 64 + '", ' + keys + "}]")


A = '{"name": "a", "host": "h"}'


@pytest.mark.parametrize(
    ("content", "line", "key", "text"),
    [
        (lines(A, '{"name": "b", "host": "h", "prot": 1}'), 3, "hosts[1].prot", "'prot'; did you mean 'port'?"),
        (lines(A, defaults='{"api_env": ""}'), 3, "defaults.api_env", "'api_env'; did you mean 'api_key_env'?"),
        (lines(A, defaults='{"zzz": 1}'), 3, "defaults.zzz", "unknown key 'zzz'; remove it."),
        ('{"hosts": [],\n"default": {}}', 2, "default", "unknown key 'default'; did you mean 'defaults'?"),
        ('{"hosts": [],\n"port": 1}', 2, "port", "it belongs in 'defaults' or an entry of 'hosts'."),
        (lines('{"name": "a", "host": "h", "version": "v1"}'), 2, "hosts[0].version", "it belongs in 'defaults'."),
        (lines(A, '{"name": "b"}'), 3, "hosts[1].host", "the key 'host' is missing."),
        ('{\n"defaults": {}}', 1, "hosts", "the key 'hosts' is missing."),
        (lines(A, A), 3, "hosts[1].name", "the host on line 2 is called the same"),
        (lines('{"name": "a",\n"host": "h", "name": "b"}'), 3, "hosts[0].name", "stands twice"),
        ('{"hosts": [],\n"hosts": []}', 2, "hosts", "stands twice"),
        (lines('{"name": "a", "host": "h",\n"port": "22"}'), 3, "hosts[0].port", "has to be a whole number, not text."),
        (lines('{"name": 1, "host": "h"}'), 2, "hosts[0].name", "has to be text in double quotes, not a number."),
        (lines('{"name": "a", "host": null}'), 2, "hosts[0].host", "has to be text in double quotes, not null."),
        (lines(A, "[]"), 3, "hosts[1]", "has to be an object in { }, not a list."),
        (lines(A, defaults='{"tags": "x"}'), 3, "defaults.tags", "has to be a list in [ ], not text."),
        (lines(A, defaults='{"slots": 1.5}'), 3, "defaults.slots", "has to be a whole number, not a fraction."),
        (lines(A, defaults='{"connect_timeout": true}'), 3, "defaults.connect_timeout", "a number, not true or false."),
        (lines(A, defaults='{"env": {"A": 1}}'), 3, "defaults.env.A", "has to be text in double quotes, not a number."),
        (lines(A, defaults='{"env": {"A B": ""}}'), 3, "defaults.env.A B", "the name of an environment variable"),
        (lines(A, defaults='{"port": 65536}'), 3, "defaults.port", "has to be less than or equal to 65535."),
        (lines(A, defaults='{"port": 0}'), 3, "defaults.port", "has to be greater than or equal to 1."),
        (lines(A, defaults='{"jump": "a:99999"}'), 3, "defaults.jump", "has a port above 65535."),
        (lines(A, defaults='{"host_key_policy": "no"}'), 3, "defaults.host_key_policy", "'strict' or 'accept-new'."),
        (lines('{"name": "a b", "host": "h"}'), 2, "hosts[0].name", "has to begin with a letter or digit"),
        (lines('{"name": "a", "host": "eric@h"}'), 2, "hosts[0].host", "a login name stands under 'user'"),
        (lines(A, defaults='{"jump": ["a", 5]}'), 3, "defaults.jump", "in double quotes, or a list of such texts."),
        (http('"token": []'), 2, "http.token", "unknown key 'token'; did you mean 'tokens'?"),
        (token('"scopes": ["reed"]'), 2, "http.tokens[0].scopes[0]", "has to be 'read', 'dispatch' or 'admin'."),
        (token('"scopes": []'), 2, "http.tokens[0].scopes", "has to have at least one entry."),
        (token('"scopes": ["read"], "token": "x"'), 2, "http.tokens[0].token", "its hash does: see"),
        ('{"hosts": [],\n"[key]": 1}', 2, "[key]", "unknown key '[key]'; remove it."),
        ("[]", 1, "", "has to be an object in { }, not a list."),
    ],
)  # fmt: skip
def test_each_problem_is_told_with_line_and_key(file: Path, content: str, line: int, key: str, text: str) -> None:
    error = refusal(file, content)
    assert (error.file, error.line, error.key) == (file, line, key)
    assert str(error).startswith(f"{file}:{line}: {key}: " if key else f"{file}:{line}: ")
    assert text in str(error)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("content", "line", "key"),
    [
        (lines(A, defaults='{"provider": "x",\n"api_key": "KEY"}'), 4, "defaults.api_key"),
        (lines('{"name": "a", "host": "h",\n"password": "KEY"}'), 3, "hosts[0].password"),
        (lines(A, defaults='{"github_token": "KEY"}'), 3, "defaults.github_token"),
        (lines(A, defaults='{"api_key_env":\n"KEY"}'), 3, "defaults.api_key_env"),
        (lines(A, defaults='{"key_passphrase_env": "KEY"}'), 3, "defaults.key_passphrase_env"),
        (lines(A, defaults='{"env": {"LANG": "C",\n"X": "KEY"}}'), 4, "defaults.env.X"),
        (lines(A, defaults='{"env": {"LANG": "C",\n"DB_PASSWORD": "KEY"}}'), 4, "defaults.env.DB_PASSWORD"),
        (lines(A, defaults='{"KEY": 1}'), 3, "defaults.(hidden)"),
        (lines(A, defaults='{"env": {"KEY": "x"}}'), 3, "defaults.env.(hidden)"),
        (lines('{"name": "KEY KEY", "host": "h h", "user": "KEY KEY", "port": "KEY"}'), 2, "hosts[0].user"),
        (lines('{"name": "a", "host": "h" "KEY"}'), 2, ""),
    ],
)
def test_a_secret_is_refused_where_it_stands_and_never_repeated(file: Path, content: str, line: int, key: str) -> None:
    error = refusal(file, content.replace("KEY", KEY))
    assert (error.line, error.key) == (line, key)
    told: BaseException | None = error
    while told is not None:
        assert KEY not in str(told)
        told = told.__cause__


def test_a_literal_secret_is_told_how_to_be_named_instead(file: Path) -> None:
    assert "name that variable under 'api_key_env'" in str(refusal(file, lines(A, defaults='{"api_key": "x"}')))
    assert '"${NAME}"' in str(refusal(file, lines(A, defaults='{"env": {"X": "' + KEY + '"}}')))
    assert "write that variable's name here" in str(refusal(file, lines(A, defaults=f'{{"api_key_env": "{KEY}"}}')))


def test_all_problems_are_told_at_once_in_the_order_of_their_lines(file: Path) -> None:
    error = refusal(
        file, lines(A, '{"name": "a", "host": "h", "prot": 1}', '{"name": "c"}', defaults='{"port": 1, "port": 0}')
    )
    assert (error.line, error.key) == (3, "hosts[1].name")
    places = [line.removeprefix(f"{file}:").split(": ")[:2] for line in str(error).splitlines()]
    assert places == [
        ["3", "hosts[1].name"],
        ["3", "hosts[1].prot"],
        ["4", "hosts[2].host"],
        ["5", "defaults.port"],
        ["5", "defaults.port"],
    ]


def test_of_very_many_problems_twenty_are_told_and_the_rest_counted(file: Path) -> None:
    told = str(refusal(file, lines(*['{"name": "b"}'] * 30))).splitlines()
    assert len(told) == 21
    assert told[-1] == "And 39 more."


def test_a_byte_order_mark_is_tolerated(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + fleet("a").encode())
    assert [host.name for host in load_config(file).hosts] == ["a"]


def test_text_that_is_not_utf8_is_told_with_its_line(file: Path) -> None:
    error = refusal(file, b'{"hosts": [],\n "x": "\xe4"}')
    assert (error.line, str(error)) == (2, f"{file}:2: this is not UTF-8 text. Save it as UTF-8.")


def test_a_folder_is_not_a_config(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this is not a file"):
        ConfigSource(tmp_path).current()


def test_a_pipe_is_refused_instead_of_waited_for(file: Path) -> None:
    os.mkfifo(file)
    with pytest.raises(ConfigError, match="this is not a file"):
        ConfigSource(file).current()


def test_a_file_behind_a_file_cannot_be_read(file: Path) -> None:
    file.write_text("{}")
    with pytest.raises(ConfigError, match="can't be read: Not a directory"):
        ConfigSource(file / "fleet.json").current()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_an_error(file: Path) -> None:
    file.write_text(fleet("a"))
    file.chmod(0)
    with pytest.raises(ConfigError, match="can't be read: Permission denied"):
        load_config(file)


WORDS = st.sampled_from(
    ["hosts", "defaults", "name", "host", "port", "env", "jump", "tags", "a", "\ud800", "[key]", KEY]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(VALUES | st.fixed_dictionaries({"hosts": st.lists(VALUES, max_size=3)}, optional={"defaults": VALUES}))
def test_whatever_the_json_the_answer_is_a_config_or_an_error_without_secrets(file: Path, document: Any) -> None:
    file.write_text(json.dumps(document))
    try:
        config = load_config(file)
    except ConfigError as error:
        assert error.line is not None
        assert KEY not in str(error)
        str(error).encode()
    else:
        assert config.model_dump(exclude_unset=True).keys() == document.keys()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=50))
def test_whatever_the_bytes_nothing_but_a_config_error_is_raised(file: Path, content: bytes) -> None:
    with pytest.raises(ConfigError):
        file.write_bytes(content)
        load_config(file)


# Reading it again


@pytest.fixture
def source(file: Path) -> ConfigSource:
    file.write_text(fleet("a"))
    return ConfigSource(file)


def host_names(config: FleetConfig | None) -> list[str]:
    assert config is not None
    return [host.name for host in config.hosts]


def test_an_unchanged_file_is_not_read_again(source: ConfigSource) -> None:
    assert source.last_good is None
    config = source.current()
    assert source.current() is config
    assert source.last_good is config


def test_a_changed_file_is_read_again(source: ConfigSource) -> None:
    source.current()
    source.path.write_text(fleet("a", "b"))
    assert host_names(source.current()) == ["a", "b"]
    assert host_names(source.last_good) == ["a", "b"]


def test_a_file_of_the_same_size_and_time_put_in_its_place_is_read_again(source: ConfigSource) -> None:
    source.current()
    before = source.path.stat()
    other = source.path.with_name("other.json")
    other.write_text(fleet("b"))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert other.stat().st_size == before.st_size
    other.replace(source.path)
    assert host_names(source.current()) == ["b"]


def test_a_bad_file_is_an_error_each_time_until_it_is_mended_and_the_last_good_config_stays(
    source: ConfigSource,
) -> None:
    good = source.current()
    source.path.write_text("{")
    for _ in range(3):
        with pytest.raises(ConfigError):
            source.current()
        assert source.last_good is good
    source.path.write_text(fleet("a", "c"))
    assert host_names(source.current()) == ["a", "c"]


def test_a_file_that_is_gone_is_an_error_and_the_template_does_not_take_its_place(source: ConfigSource) -> None:
    good = source.current()
    away = source.path.rename(source.path.with_name("away.json"))
    for _ in range(2):
        with pytest.raises(ConfigError, match="the fleet config is gone"):
            source.current()
    assert not source.path.exists()
    assert source.last_good is good
    away.rename(source.path)
    assert source.current() is good


def test_a_config_error_is_one_of_the_errors_of_this_package(file: Path) -> None:
    assert isinstance(refusal(file, ""), FleetError)
