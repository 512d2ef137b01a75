from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ValidationError

from picoclaw_fleet.config.model import Defaults, FleetConfig, HostConfig
from picoclaw_fleet.config.values import (
    ALIAS,
    FILE,
    FORMS,
    JUMP,
    LOGIN,
    NAME,
    canonical_arch,
    referenced_variable,
)

SCHEMA = Draft202012Validator(FleetConfig.model_json_schema())
KEY = "sk-" + "ant-api03-abcdefghijkl"

USERS_KEYS = {"name", "host", "user", "arch", "ssh_key"}
ADDED_EVERYWHERE = {
    "port", "tags", "slots", "jump", "host_key", "ssh_config_host", "certificate", "key_passphrase_env", "api_key_env",
    "model", "env",
}  # fmt: skip
ADDED_TO_DEFAULTS = {
    "user", "ssh_key", "api_base", "release_repo", "version", "github_api", "allow_unverified", "known_hosts",
    "connect_timeout", "idle_timeout", "host_key_policy", "restrict_to_workspace", "provider",
}  # fmt: skip


def host(**keys: Any) -> HostConfig:
    return HostConfig.model_validate({"name": "web1", "host": "web1.example.com", **keys})


def names(prefix: str = "") -> st.SearchStrategy[str]:
    return st.from_regex(prefix + NAME[1:-1], fullmatch=True).filter(lambda name: name not in ("all", "none"))


SETTINGS = {
    "user": st.from_regex(LOGIN[1:-1], fullmatch=True).filter(lambda text: len(text) <= 255),
    "ssh_config_host": st.from_regex(ALIAS[1:-1], fullmatch=True).filter(lambda text: len(text) <= 255),
    "port": st.integers(1, 65_535),
    "ssh_key": st.from_regex(FILE[1:-1], fullmatch=True),
    "key_passphrase_env": st.just("KEY_PASSPHRASE"),
    "jump": st.sampled_from(["gate", "eric@gate:2222", "a,b@c:1,[::1]:22", "none"]),
    "host_key": st.sampled_from(["SHA256:" + "x" * 43, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI" + "x" * 43]),
    "host_key_policy": st.sampled_from(["strict", "accept-new"]),
    "connect_timeout": st.floats(0, 86_400, exclude_min=True),
    "tags": st.lists(names(), max_size=3).map(tuple),
    "slots": st.integers(1, 1000),
    "env": st.dictionaries(st.sampled_from(["LANG", "TZ", "HTTP_PROXY"]), st.sampled_from(["", "C", "${TZ}"])),
    "restrict_to_workspace": st.booleans(),
}
HOSTS = st.fixed_dictionaries(
    {"name": names(), "host": st.sampled_from(["10.0.0.1", "::1", "fe80::1%eth0", "web1.example.com", "alias_1"])},
    optional={**SETTINGS, "arch": st.sampled_from(["arm64", "x86_64", "Risc-V"])},
)
CONFIGS = st.fixed_dictionaries(
    {"hosts": st.lists(HOSTS, max_size=4).map(tuple)},
    optional={"defaults": st.fixed_dictionaries({}, optional=SETTINGS)},
)


@given(CONFIGS)
def test_a_config_written_out_reads_back_the_same(document: dict[str, Any]) -> None:
    config = FleetConfig.model_validate(document)
    assert FleetConfig.model_validate_json(config.model_dump_json()) == config
    assert FleetConfig.model_validate(config.model_dump(exclude_unset=True)) == config


@given(CONFIGS)
def test_what_is_valid_fits_the_published_schema(document: dict[str, Any]) -> None:
    config = FleetConfig.model_validate(document).model_dump(mode="json", exclude_unset=True)
    SCHEMA.validate(config)  # pyright: ignore[reportUnknownMemberType]


def test_every_key_of_the_contract_is_there() -> None:
    assert HostConfig.model_fields.keys() >= USERS_KEYS | ADDED_EVERYWHERE
    assert Defaults.model_fields.keys() >= ADDED_EVERYWHERE | ADDED_TO_DEFAULTS


@pytest.mark.parametrize("model", [HostConfig, Defaults, FleetConfig])
def test_every_key_is_described(model: type[BaseModel]) -> None:
    assert [key for key, field in model.model_fields.items() if not field.description] == []


def patterns_in(schema: object) -> set[str]:
    if isinstance(schema, list):
        return {pattern for item in cast("list[object]", schema) for pattern in patterns_in(item)}
    if not isinstance(schema, dict):
        return set()
    members = cast("dict[str, object]", schema)
    own = members.get("pattern")
    return {own} if isinstance(own, str) else {pattern for part in members.values() for pattern in patterns_in(part)}


def test_every_pattern_is_said_in_words() -> None:
    assert patterns_in(FleetConfig.model_json_schema()) | {JUMP} == FORMS.keys()


@pytest.mark.parametrize(
    "keys",
    [
        {"port": 0},
        {"port": 65_536},
        {"port": "22"},
        {"port": True},
        {"slots": 0},
        {"slots": 1001},
        {"connect_timeout": 0},
        {"connect_timeout": float("inf")},
        {"idle_timeout": -1},
        {"name": ""},
        {"name": "-web"},
        {"name": "web 1"},
        {"name": "web1\n"},
        {"name": "w" * 64},
        {"name": "web[1]"},
        {"name": "all"},
        {"host": "eric@web1"},
        {"host": "web1:22"},
        {"host": "[::1]"},
        {"host": "-oProxyCommand=x"},
        {"host": "web 1"},
        {"host": ""},
        {"user": "-l"},
        {"user": "a b"},
        {"user": "a\\"},
        {"user": ""},
        {"arch": ""},
        {"ssh_key": "id_rsa"},
        {"ssh_key": "~eric/.ssh/id_rsa"},
        {"ssh_key": "$HOME/.ssh/id_rsa"},
        {"ssh_key": "~/.ssh/id\n"},
        {"jump": ""},
        {"jump": "gate:0"},
        {"jump": "gate:65536"},
        {"jump": "-oProxyCommand=x"},
        {"jump": "eric@-oProxyCommand=x"},
        {"jump": "a,,b"},
        {"jump": ["a", ""]},
        {"host_key": "AAAA"},
        {"host_key": "SHA256:short"},
        {"host_key": "ssh-dss AAAAB3Nz"},
        {"host_key_policy": "no"},
        {"tags": "web"},
        {"tags": ["a,b"]},
        {"tags": [1]},
        {"api_key_env": "MY KEY"},
        {"api_key_env": "1KEY"},
        {"api_base": "ftp://example.com"},
        {"api_base": "https://eric:pw@example.com"},
        {"env": {"A=B": "x"}},
        {"env": {"A": "x\ny"}},
        {"env": {"A": "x\0y"}},
        {"env": {"A": 1}},
        {"env": {"A": "see ${B}"}},
        {"env": {"A": "${1}"}},
        {"restrict_to_workspace": "yes"},
        {"prot": 22},
    ],
)
def test_a_value_of_the_wrong_form_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        host(**keys)
    assert [error["loc"][0] for error in caught.value.errors()] == list(keys)


@given(
    key=st.sampled_from(["host", "user", "jump", "ssh_config_host"]),
    mark=st.sampled_from([*"'\"`;&<>|(){} \t\n\r\0", "$(", "${IFS}"]),
    before=st.sampled_from(["", "web1", "gate,web1", "eric@web1", "[::1]:22,web1"]),
    after=st.sampled_from(["", "touch", ":22", ",web2"]),
)
def test_nothing_that_a_shell_gives_a_meaning_to_stands_in_a_name_that_ssh_is_told(
    key: str, mark: str, before: str, after: str
) -> None:
    with pytest.raises(ValidationError):
        host(**{key: f"{before}{mark}{after}"})


@given(
    key=st.sampled_from(["host", "user", "jump", "ssh_config_host", "arch", "model", "provider"]),
    option=st.text(alphabet="oProxyCommand=x", max_size=20),
)
def test_nothing_that_ssh_is_told_can_be_taken_for_an_option(key: str, option: str) -> None:
    with pytest.raises(ValidationError):
        host(**{key: f"-{option}"})


@pytest.mark.parametrize(
    "version", ["/usr/bin/picoclaw", "../picoclaw", "~/picoclaw", "https://example.com/picoclaw", "", "v1/2"]
)
def test_a_version_is_never_a_path(version: str) -> None:
    with pytest.raises(ValidationError):
        Defaults(version=version)


@pytest.mark.parametrize(
    "keys",
    [
        {"api_key_env": KEY},
        {"api_key_env": "ghp" + "_16C7e42F292c6912E7710c838347Ae178B4a"},
        {"api_key_env": "3f786850e387550fdab836ed7e6dc881de23001b"},
        {"key_passphrase_env": KEY},
        {"env": {"GREETING": KEY}},
        {"env": {"GREETING": "Bearer " + KEY}},
        {"env": {"OPENAI_API_KEY": "correct horse"}},
        {"env": {"DB_PASSWORD": "hunter2hunter2"}},
    ],
)
def test_a_literal_secret_is_refused_and_not_repeated(keys: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        host(**keys)
    [error] = caught.value.errors(include_input=False)
    assert error["type"] == "literal_secret"
    value = next(iter(keys["env"].values())) if "env" in keys else next(iter(keys.values()))
    assert value not in str(caught.value)


def test_a_secret_may_be_named_instead() -> None:
    env = host(env={"OPENAI_API_KEY": "${OPENAI_API_KEY}", "MAX_TOKENS": "4096", "API_KEY": "none"}).env
    assert [referenced_variable(value) for value in env.values()] == ["OPENAI_API_KEY", None, None]


@pytest.mark.parametrize("value", ["$TZ", "${TZ", "${TZ} ", "${T-Z}", "${}", "TZ"])
def test_only_a_whole_reference_is_one(value: str) -> None:
    assert referenced_variable(value) is None


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("amd64", "amd64"), ("x86_64", "amd64"), ("aarch64", "arm64"), ("ARM64", "arm64"), ("armv7l", "armv7"),
        ("armhf", "armv7"), ("armv6l", "armv6"), ("riscv64", "riscv64"), ("i686", "386"), ("sparc64", "sparc64"),
    ],
)  # fmt: skip
def test_an_architecture_has_one_name(written: str, canonical: str) -> None:
    assert canonical_arch(written) == canonical
    assert host(arch=written).arch == canonical


def test_hops_may_be_a_list() -> None:
    assert host(jump=["gate", "eric@inner:2222"]).jump == "gate,eric@inner:2222"


def test_a_config_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        host().port = 22  # pyright: ignore[reportAttributeAccessIssue]


def test_a_host_is_put_over_the_defaults() -> None:
    defaults = Defaults(user="eric", port=22, tags=("a",), env={"LANG": "C", "TZ": "UTC"}, connect_timeout=5.0)
    settings = host(port=2222, tags=(), env={"TZ": "CET"}).over(defaults)
    assert (settings.user, settings.port, settings.tags) == ("eric", 2222, ())
    assert settings.env == {"LANG": "C", "TZ": "CET"}
    assert settings.connect_timeout == 5.0


def test_a_host_with_another_provider_does_not_get_the_key_of_the_first() -> None:
    defaults = Defaults(provider="openai", api_key_env="OPENAI_API_KEY", model="gpt", api_base="http://gateway")
    settings = host(provider="groq", model="llama").over(defaults)
    assert (settings.provider, settings.api_key_env, settings.model, settings.api_base) == ("groq", None, "llama", None)


def test_a_host_with_the_same_provider_takes_over_what_goes_with_it() -> None:
    assert host(provider="anthropic").over(Defaults(api_key_env="TEAM_KEY")).api_key_env == "TEAM_KEY"
