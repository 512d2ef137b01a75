"""What the tests of the command line share: a fleet, and a shell for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.cli.terminal import Shell
from tests.embedded_fleet import EmbeddedFleet, Gate


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[EmbeddedFleet]:
    """Two hosts, each with a stand-in that answers `done: TASK`."""
    async with EmbeddedFleet(tmp_path / "fleet") as fleet:
        await fleet.add("ada", slots=2, tags=["web"])
        await fleet.add("bob", slots=2)
        fleet.write_config()
        yield fleet


@pytest.fixture
def shell(fleet: EmbeddedFleet) -> Shell:
    return Shell(fleet)


@pytest.fixture
def gate(fleet: EmbeddedFleet) -> Gate:
    """Holds every task on ada."""
    gate = fleet.gate("ada")
    fleet.set_knobs(exec=gate.command)
    return gate
