"""What the server makes of the little that clients pass on."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.embedded_fleet import EmbeddedFleet
from tests.mcp_server.caller import Caller, Era, stdio

from picoclaw_fleet.config.file import DEFAULT_PATH


@pytest.fixture
def home(fleet: EmbeddedFleet) -> Path:
    """The controller's home, with the fleet config where it is looked for."""
    usual = fleet.home / DEFAULT_PATH.removeprefix("~/")
    usual.parent.mkdir(parents=True)
    usual.symlink_to(fleet.config)
    return fleet.home


@asynccontextmanager
async def _client(home: Path, era: Era, **variables: str) -> AsyncGenerator[Caller]:
    """A client whose server gets HOME, PATH and so many variables. Nothing may go wrong unnoticed inside of it."""
    log = home / "stderr"
    async with stdio({"HOME": str(home), "PATH": os.environ["PATH"], **variables}, era, log) as client:
        yield Caller(client)
    assert log.read_text() == ""


async def test_home_and_path_are_enough(home: Path, era: Era) -> None:
    async with _client(home, era) as call:
        done = await call("dispatch", task="hello")
    assert done.data["answer"] == "done: hello"


@pytest.mark.parametrize("reference", ["${%s}", "${env:%s}"])
async def test_a_variable_that_the_client_could_not_fill_in_is_not_set(
    fleet: EmbeddedFleet, home: Path, era: Era, reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("ANTHROPIC_API_KEY", "SSH_AUTH_SOCK", "PICOCLAW_FLEET_CONFIG", "PICOCLAW_FLEET_STATE_DIR", "FLEET_TOKEN")
    monkeypatch.chdir(tmp_path)
    await fleet.add("dan")
    fleet.entries[-1]["env"] = {"TOKEN": "${FLEET_TOKEN}"}
    fleet.write_config()
    async with _client(home, era, **{name: reference % name for name in names}) as call:
        done = await call("dispatch", task="hello", host="ada")
        without = await call("dispatch", task="hello", host="dan")
        deployed = await call("deploy", hosts="bob")
    assert done.data["answer"] == "done: hello"
    assert "Set FLEET_TOKEN" in without.text
    (bob,) = deployed.data["hosts"]
    assert bob["reason"] == "key_missing"
    assert "ANTHROPIC_API_KEY is not set" in deployed.text
    assert not list(tmp_path.glob("$*"))
