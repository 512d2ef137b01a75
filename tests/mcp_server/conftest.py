"""What the tests of the MCP surface share: a fleet, and clients in both eras of the protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from mcp import Client
from tests.embedded_fleet import EmbeddedFleet
from tests.mcp_server.caller import Caller, Era, stdio
from tests.mcp_server.foreign import find_node

from picoclaw_fleet.mcp_server.server import create_server

ERAS = ("auto", "legacy")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=ERAS)
def era(request: pytest.FixtureRequest) -> Era:
    return request.param


@pytest.fixture
def node() -> str:
    """What runs other people's clients."""
    return find_node()


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[EmbeddedFleet]:
    """Three hosts, each with a stand-in that answers `done: TASK`."""
    async with EmbeddedFleet(tmp_path / "fleet") as fleet:
        for name in ("ada", "bob", "cyd"):
            await fleet.add(name, slots=2)
        fleet.write_config()
        yield fleet


@pytest.fixture
async def over_stdio(fleet: EmbeddedFleet, era: Era, tmp_path: Path) -> AsyncIterator[Caller]:
    """The installed command, started by a client in either era. Nothing may go wrong unnoticed inside of it."""
    log = tmp_path / "stderr"
    async with stdio(fleet.environment, era, log) as client:
        yield Caller(client)
    assert log.read_text() == ""


@pytest.fixture
async def call(fleet: EmbeddedFleet, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Caller]:
    """A server in this process, where stdio is not the point."""
    monkeypatch.setenv("HOME", str(fleet.home))
    monkeypatch.setenv("PICOCLAW_FLEET_STATE_DIR", str(fleet.state))
    async with Client(create_server(str(fleet.config))) as client:
        yield Caller(client)
