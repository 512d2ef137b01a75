from __future__ import annotations

import contextlib
import fnmatch
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from picoclaw_fleet.config.inventory import Host, Inventory
from picoclaw_fleet.config.model import FleetConfig
from picoclaw_fleet.errors import UsageError


def inventory(*hosts: dict[str, Any], **defaults: Any) -> Inventory:
    entries = tuple({"host": f"{host['name']}.example.com", **host} for host in hosts)
    return Inventory.from_config(FleetConfig.model_validate({"hosts": entries, "defaults": defaults}))


def only(host: dict[str, Any], **defaults: Any) -> Host:
    [made] = inventory({"name": "web1", **host}, **defaults).hosts
    return made


FLEET = inventory(
    {"name": "web2", "tags": ("front", "eu"), "arch": "x86_64"},
    {"name": "web1", "tags": ("front",), "arch": "arm64"},
    {"name": "web10", "arch": "aarch64"},
    {"name": "node01", "tags": ("back",)},
    {"name": "node02", "tags": ("back", "eu"), "arch": "riscv64"},
    {"name": "node10"},
    {"name": "rack1-node3"},
    {"name": "rack2-node1"},
    {"name": "rack3-node1"},
    {"name": "Darth", "host": "192.168.50.57"},
)


def selected(*selectors: str, fleet: Inventory = FLEET) -> list[str]:
    return [host.name for host in fleet.select(selectors)]


# Hosts


def test_a_host_without_settings_has_the_documented_defaults() -> None:
    assert only({}) == Host(
        name="web1",
        address="web1.example.com",
        port=0,
        user="",
        ssh_key=None,
        certificate=None,
        key_passphrase_env="",
        jump="",
        host_key="",
        ssh_config_host="",
        known_hosts=None,
        host_key_policy="strict",
        connect_timeout=10,
        idle_timeout=300,
        arch="",
        tags=(),
        slots=0,
        provider="anthropic",
        api_key_env="ANTHROPIC_API_KEY",
        model="",
        api_base="",
        env={},
        restrict_to_workspace=None,
    )


EVERY_SETTING: dict[str, Any] = {
    "port": 2222,
    "user": "eric",
    "ssh_key": "/keys/id",
    "certificate": "/keys/id-cert.pub",
    "key_passphrase_env": "PASSPHRASE",
    "jump": "gate",
    "host_key": "SHA256:" + "x" * 43,
    "ssh_config_host": "alias",
    "known_hosts": "/keys/known_hosts",
    "host_key_policy": "accept-new",
    "connect_timeout": 3.5,
    "idle_timeout": 60.0,
    "tags": ("a", "b"),
    "slots": 8,
    "provider": "openai",
    "api_key_env": "TEAM_KEY",
    "model": "gpt",
    "api_base": "http://gateway",
    "env": {"TZ": "${TZ}"},
    "restrict_to_workspace": False,
}


@pytest.mark.parametrize("made", [only(EVERY_SETTING), only({}, **EVERY_SETTING)], ids=["own", "inherited"])
def test_every_setting_reaches_the_host_from_its_entry_and_from_the_defaults(made: Host) -> None:
    paths = {key: Path(EVERY_SETTING[key]) for key in ("ssh_key", "certificate", "known_hosts")}
    assert {key: getattr(made, key) for key in EVERY_SETTING} == {**EVERY_SETTING, **paths}


def test_a_host_goes_before_the_defaults() -> None:
    assert only({"port": 2222, "restrict_to_workspace": False}, port=22, restrict_to_workspace=True).port == 2222
    assert only({"restrict_to_workspace": False}, restrict_to_workspace=True).restrict_to_workspace is False
    assert only({"tags": ()}, tags=("a",)).tags == ()


def test_paths_are_expanded_to_the_home_of_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    made = only({"ssh_key": "~/.ssh/id_rsa", "known_hosts": "/etc/hosts.keys"}, certificate="~/cert.pub")
    assert made.ssh_key == tmp_path / ".ssh/id_rsa"
    assert made.certificate == tmp_path / "cert.pub"
    assert made.known_hosts == Path("/etc/hosts.keys")


def test_the_anthropic_key_is_not_assumed_for_another_provider() -> None:
    assert only({}, provider="openai").api_key_env == ""


@pytest.mark.parametrize(
    ("name", "address", "jump", "way"),
    [
        ("web1", "10.0.0.1", "gate", "gate"),
        ("gate", "10.0.0.1", "gate", ""),
        ("inner", "10.0.0.1", "gate,eric@inner:2222,last", "gate"),
        ("web1", "10.0.0.1", "eric@10.0.0.1:22", ""),
        ("web1", "::1", "gate,[::1]:22", "gate"),
        ("web1", "10.0.0.1", "none", ""),
        ("gate", "10.0.0.1", "gateway", "gateway"),
    ],
)
def test_the_way_to_a_host_ends_before_the_host_itself(name: str, address: str, jump: str, way: str) -> None:
    [made] = inventory({"name": name, "host": address}, jump=jump).hosts
    assert made.jump == way


def test_a_host_can_be_a_key_of_a_dictionary_and_does_not_show_its_environment() -> None:
    made = only({"env": {"GREETING": "hello"}})
    assert {made: 1}[only({"env": {"GREETING": "hello"}})] == 1
    assert "hello" not in repr(made)


def test_what_to_try_by_hand_has_all_that_ssh_is_to_know() -> None:
    told = {"host": "192.0.2.7", "user": "eric", "port": 2222, "ssh_key": "/keys/my key"}
    assert only({"host": "192.0.2.7"}).by_hand("true") == "ssh 192.0.2.7 true"
    assert only(told).by_hand("uname -a") == "ssh -p 2222 -i '/keys/my key' eric@192.0.2.7 'uname -a'"


# The inventory


def test_hosts_stand_in_config_order() -> None:
    assert [host.name for host in FLEET.hosts][:3] == ["web2", "web1", "web10"]


def test_two_hosts_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError, match="same name"):
        Inventory([*FLEET.hosts, FLEET.hosts[0]])


def test_a_host_is_found_by_its_name() -> None:
    assert FLEET.get("web1").name == "web1"


def test_an_unknown_name_is_told_with_the_nearest_ones() -> None:
    with pytest.raises(UsageError, match=r"No host is called 'wbe1'\. Did you mean web1") as caught:
        FLEET.get("wbe1")
    assert "tag:" not in str(caught.value)


# Selectors


@pytest.mark.parametrize(
    ("selectors", "names"),
    [
        (["web1"], ["web1"]),
        (["web1", "web2", "web1"], ["web2", "web1"]),
        (["web1,node01"], ["web1", "node01"]),
        ([" web1 , node01 ,"], ["web1", "node01"]),
        (["tag:front"], ["web2", "web1"]),
        (["tag:eu"], ["web2", "node02"]),
        (["arch:arm64"], ["web1", "web10"]),
        (["arch:aarch64"], ["web1", "web10"]),
        (["arch:amd64", "arch:RISCV64"], ["web2", "node02"]),
        (["web*"], ["web2", "web1", "web10"]),
        (["web?"], ["web2", "web1"]),
        (["*node*1"], ["node01", "rack2-node1", "rack3-node1"]),
        (["web[1-3]"], ["web2", "web1"]),
        (["web[1-10]"], ["web2", "web1", "web10"]),
        (["web[2,10]"], ["web2", "web10"]),
        (["node[01-10]"], ["node01", "node02", "node10"]),
        (["node[2-10]"], ["node10"]),
        (["rack[1-2]-node[1-3]"], ["rack1-node3", "rack2-node1"]),
        (["rack[1-3]-*1"], ["rack2-node1", "rack3-node1"]),
        (["rack[1-2]-node[1,3],web1"], ["web1", "rack1-node3", "rack2-node1"]),
        (["all", "!web*"], ["node01", "node02", "node10", "rack1-node3", "rack2-node1", "rack3-node1", "Darth"]),
        (["!web*", "!node[01-10]", "!rack*"], ["Darth"]),
        (["web*", "!tag:eu"], ["web1", "web10"]),
        (["web*,!arch:arm64"], ["web2"]),
        (["!tag:eu", "web2", "web1"], ["web1"]),
        (["web*", "! web1"], ["web2", "web10"]),
    ],
)
def test_selectors_pick_hosts_in_config_order(selectors: list[str], names: list[str]) -> None:
    assert selected(*selectors) == names


def test_no_selector_and_all_pick_every_host() -> None:
    assert FLEET.select([]) == FLEET.select(["all"]) == FLEET.hosts


@pytest.mark.parametrize(
    ("selectors", "message"),
    [
        (["wbe1"], "'wbe1' matches no host. Did you mean web1"),
        (["DARTH"], "Did you mean Darth?"),
        (["192.168.50.57"], "Did you mean Darth?"),
        (["tag:fornt"], "'tag:fornt' matches no host. Did you mean tag:front"),
        (["arch:armv7"], "matches no host: only the arch in the fleet config counts. Did you mean arch:arm64"),
        (["web1", "!wbe1"], "'wbe1' matches no host."),
        (["db*"], "'db*' matches no host."),
        (["web[3-9]"], "'web[3-9]' matches no host."),
        (["web[01-03]"], "'web[01-03]' matches no host."),
        (["zzzzzzzz"], "Known are: Darth, arch:amd64"),
        (["tag:"], "'tag:' matches no host."),
        (["!"], "matches no host."),
        (["!!web1"], "'!web1' matches no host."),
        (["web1", "!web1"], "leave out every host"),
        (["!all"], "leave out every host"),
        ([""], "The selectors are empty."),
        ([" ", ","], "The selectors are empty."),
        (["web[1-3"], "has no partner"),
        (["web1]"], "has no partner"),
        (["web[[1]]"], "has no partner"),
        (["web[]"], "'' in 'web[]' is not a range"),
        (["web[a-c]"], "'a-c' in 'web[a-c]' is not a range"),
        (["web[1-]"], "is not a range"),
        (["web[²]"], "is not a range"),
        (["web[3-1]"], "runs backwards"),
        (["web[1-9999999999]"], "is not a range"),
        (["web[1-100001]"], "stands for 100,001 names"),
        (["web[1-400][1-400]"], "stands for 160,000 names"),
        (["web1", "*" * 4001], "has 4,001 characters, more than 4,000"),
        ([f"no{number}" for number in range(101)], "101 selectors are no names of hosts"),
    ],
)
def test_a_selector_that_picks_nothing_is_an_error_that_helps(selectors: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        FLEET.select(selectors)
    assert message in str(caught.value)


def test_a_range_of_a_hundred_thousand_is_still_fine() -> None:
    assert selected("web[1-100000]") == ["web2", "web1", "web10"]


@pytest.mark.parametrize("pattern", ["*?" * 1999, "*a" * 1999, "?*a" * 1333, f"*[{'7,' * 1990}7]*", "*[2-99999]*"])
def test_no_pattern_takes_more_than_a_moment(pattern: str) -> None:
    """Tried one way after the other, any of these would take minutes or for ever: the test would run out of time."""
    fleet = inventory(*({"name": f"{'a1' * 28}{number:03}"} for number in range(200)))
    for selector in (pattern, f"{pattern}b", f"x{pattern}"):
        with contextlib.suppress(UsageError):
            fleet.select([selector])


def test_a_thousand_names_are_picked_out_of_a_thousand() -> None:
    names = [f"node{number:03}" for number in range(1000)]
    assert selected(*names, fleet=inventory(*({"name": name} for name in names))) == names


def test_an_empty_fleet_says_so() -> None:
    with pytest.raises(UsageError, match="has no hosts"):
        Inventory([]).select([])


TEXT = st.text() | st.text(alphabet="webnodrack[]0123-,!*?:tagll ")


@given(st.lists(TEXT, max_size=4))
def test_any_text_picks_hosts_in_order_and_once_or_is_a_usage_error(selectors: list[str]) -> None:
    try:
        hosts = FLEET.select(selectors)
    except UsageError:
        return
    assert hosts
    assert list(hosts) == [host for host in FLEET.hosts if host in hosts]


NUMBERS = st.integers(0, 12)


@given(st.lists(st.text(alphabet="a1*?", max_size=6), min_size=1, max_size=6), st.text(alphabet="a1*?", min_size=1))
def test_a_glob_matches_what_a_shell_would_match(texts: Sequence[str], pattern: str) -> None:
    names = {"x" + text.replace("*", "-").replace("?", ".") for text in texts}
    fleet = inventory(*({"name": name} for name in sorted(names)))
    expected = [name for name in sorted(names) if fnmatch.fnmatchcase(name, "x" + pattern)]
    if expected:
        assert selected("x" + pattern, fleet=fleet) == expected
    else:
        with pytest.raises(UsageError):
            fleet.select(["x" + pattern])


@given(NUMBERS, NUMBERS, st.integers(1, 3), st.sampled_from(["", "*", "?"]))
def test_a_range_stands_for_the_names_that_counting_gives(first: int, last: int, width: int, rest: str) -> None:
    low, high = sorted((first, last))
    names = [f"n{number:0{digits}d}" for digits in (1, 2, 3) for number in range(14)]
    names = list(dict.fromkeys([*names, *(f"{name}x" for name in names)]))
    fleet = inventory(*({"name": name} for name in names))
    start = f"{low:0{width}d}"
    padding = len(start) if start.startswith("0") else 1
    meant = [f"n{number:0{padding}d}{rest}" for number in range(low, high + 1)]
    expected = [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in meant)]
    assert selected(f"n[{start}-{high}]{rest}", fleet=fleet) == expected


@given(st.lists(st.sampled_from(["web1", "tag:eu", "web*", "rack[1-3]-*", "arch:arm64", "all"]), min_size=1))
def test_picking_and_leaving_out_the_same_selectors_share_the_fleet(selectors: list[str]) -> None:
    picked = FLEET.select(selectors)
    try:
        rest = FLEET.select([f"!{selector}" for selector in selectors])
    except UsageError:
        rest = ()
    assert set(picked).isdisjoint(rest)
    assert {*picked, *rest} == set(FLEET.hosts)
