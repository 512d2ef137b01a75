"""deploy and teardown, with a binary of the user's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from tests import standin
from tests.cli.terminal import CTRL_C, Shell, terminal
from tests.embedded_fleet import EmbeddedFleet, Gate

from picoclaw_fleet.results import HostEntry

KEY: dict[str, Any] = {"ANTHROPIC_API_KEY": "sk-ant-0123456789-of-these-tests"}


@pytest.fixture
async def binary(fleet: EmbeddedFleet) -> str:
    """A PicoClaw to deploy, and a host without one."""
    await fleet.add("bare", picoclaw=b"")
    fleet.write_config()
    file = fleet.folder / "picoclaw"
    file.write_bytes(standin.executable())
    file.chmod(0o755)
    return str(file)


async def test_deploy_and_teardown_tell_what_became_of_each_host(
    fleet: EmbeddedFleet, shell: Shell, binary: str
) -> None:
    first = await shell("deploy", "--file", binary, "--json", **KEY)
    assert first.code == 0
    assert first.lines[0] == {"type": "version", "ui": "1.0"}
    (host,) = map(HostEntry.model_validate, first.of_type("host"))
    assert (host.name, host.outcome, host.version, host.source) == ("bare", "installed", "0.2.9", "local")
    assert first.lines[-1]["type"] == "result"
    assert KEY["ANTHROPIC_API_KEY"] not in first.out + first.err

    again = await shell("deploy", "bare", "--file", binary, **KEY)
    assert again.code == 0
    assert again.out.splitlines()[1].split()[:2] == ["bare", "unchanged"]
    assert (await shell("dispatch", "--host", "bare", "x", **KEY)).out == "done: x\n"

    unasked = await shell("teardown", "bare")
    assert unasked.code == 2
    assert "--yes" in unasked.err
    assert (await shell("status", "bare", **KEY)).code == 0

    async with terminal(fleet, "teardown", "bare") as screen:
        await screen.shows("away from bare?")
        screen.type(b"y\n")
        assert await screen.end() == 0
    assert "removed" in screen.screen
    assert (await shell("status", "bare", "--json")).data["hosts"][0]["picoclaw"] == "missing"
    nothing = await shell("teardown", "bare", "--yes", "--json")
    assert [host["outcome"] for host in nothing.of_type("host")] == ["unchanged"]
    assert "bare: there was nothing of ours.\n" in (await shell("teardown", "bare", "--yes")).err


async def test_a_deploy_that_fails_says_where_why_and_what_to_do(shell: Shell, binary: str) -> None:
    done = await shell("deploy", "bare", "--file", binary)
    assert done.code == 3
    assert done.out.splitlines()[1].split()[:2] == ["bare", "failed"]
    assert "bare: key_missing" in done.err
    assert "ANTHROPIC_API_KEY" in done.err


@pytest.fixture
def slow(fleet: EmbeddedFleet, binary: str) -> Gate:
    """Holds the PicoClaw that is to be deployed when it is asked for its version."""
    gate = fleet.gate("bare")
    wrapper = f'#!/bin/sh\n[ "$1" != version ] || {{ {gate.command}; }}\nexec {binary}.whole "$@"\n'
    Path(binary).rename(f"{binary}.whole")
    Path(binary).write_text(wrapper)
    Path(binary).chmod(0o755)
    return gate


async def test_a_deploy_that_is_interrupted_goes_on_with_the_same_command(
    fleet: EmbeddedFleet, shell: Shell, binary: str, slow: Gate
) -> None:
    deploy = ("deploy", "bare", "--file", binary)
    async with terminal(fleet, *deploy, **KEY) as screen:
        await slow.arrival()
        await screen.shows("0 of 1 hosts are done")
        screen.type(CTRL_C)
        assert await screen.end() == 130
    assert re.search(r"Stopped at bare \(.+\); .+ The same command again goes on from there\.", screen.screen)
    slow.open(100)
    again = await shell(*deploy, **KEY)
    assert again.code == 0
    assert again.out.splitlines()[1].split()[:2] == ["bare", "installed"]


async def test_what_took_longer_than_a_look_is_told_as_done(fleet: EmbeddedFleet, binary: str, slow: Gate) -> None:
    async with terminal(fleet, "deploy", "bare", "--file", binary, **KEY) as screen:
        await screen.shows("0 of 1 hosts are done")
        slow.open(100)
        assert await screen.end() == 0
    assert "1 installed." in screen.screen
    assert "go on" not in screen.screen


async def test_without_hosts_one_that_is_ready_is_left_alone_however_long_it_takes_to_look(
    fleet: EmbeddedFleet, binary: str
) -> None:
    gate = fleet.gate("ada")
    own = fleet.hosts["ada"].home / ".local/bin/picoclaw"
    own.rename(own.with_name("whole"))
    own.write_text(f'#!/bin/sh\n{{ {gate.command}; }} >/dev/null 2>&1\nexec "$HOME/.local/bin/whole" "$@"\n')
    own.chmod(0o755)
    async with terminal(fleet, "deploy", "--file", binary, **KEY) as screen:
        await gate.arrival()
        await screen.shows("1 of 2 hosts are done")
        gate.open(100)
        assert await screen.end() == 0
    assert "1 installed." in screen.screen
    assert not list(fleet.hosts["ada"].home.glob(".picoclaw/fleet/*/current"))


async def test_an_unknown_host_is_wrong_usage(shell: Shell) -> None:
    for command in (("deploy",), ("teardown", "--yes")):
        done = await shell(*command, "nowhere")
        assert (done.code, done.out) == (2, "")
