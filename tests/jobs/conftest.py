"""A fleet of embedded hosts for the tests of the jobs layer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.embedded_fleet import EmbeddedFleet
from tests.jobs.scenario import SMALL_PICOCLAW, process

from picoclaw_fleet.jobs.ledger import Ledger


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with process(tmp_path) as ledger:
        yield ledger


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[EmbeddedFleet]:
    """Two hosts with stand-ins, two slots each."""
    async with EmbeddedFleet(tmp_path / "fleet") as fleet:
        for name in ("ada", "bob"):
            await fleet.add(name, slots=2)
        fleet.write_config()
        yield fleet


@pytest.fixture
async def small_fleet(tmp_path: Path) -> AsyncIterator[EmbeddedFleet]:
    """Three hosts with a PicoClaw that costs next to nothing, four slots each."""
    async with EmbeddedFleet(tmp_path / "fleet") as fleet:
        for name in ("ada", "bob", "cyd"):
            await fleet.add(name, picoclaw=SMALL_PICOCLAW, slots=4)
        fleet.write_config()
        yield fleet
