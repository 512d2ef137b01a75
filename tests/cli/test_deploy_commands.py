"""deploy and teardown, with a binary of the user's own."""

from __future__ import annotations

from typing import Any

import pytest
from tests import standin
from tests.cli.terminal import Shell, terminal
from tests.embedded_fleet import EmbeddedFleet

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


async def test_a_deploy_that_fails_says_where_why_and_what_to_do(shell: Shell, binary: str) -> None:
    done = await shell("deploy", "bare", "--file", binary)
    assert done.code == 3
    assert done.out.splitlines()[1].split()[:2] == ["bare", "failed"]
    assert "bare: key_missing" in done.err
    assert "ANTHROPIC_API_KEY" in done.err


async def test_an_unknown_host_is_wrong_usage(shell: Shell) -> None:
    for command in (("deploy",), ("teardown", "--yes")):
        done = await shell(*command, "nowhere")
        assert (done.code, done.out) == (2, "")
