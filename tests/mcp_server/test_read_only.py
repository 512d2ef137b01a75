"""What a server that may only look does: each tool that does more is not there, and nothing is set going by looking."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from tests.embedded_fleet import EmbeddedFleet
from tests.jobs.scenario import SMALL_PICOCLAW, die, tasks_done
from tests.mcp_server.caller import Caller

from picoclaw_fleet.jobs.ledger import Ledger
from picoclaw_fleet.jobs.model import Job
from picoclaw_fleet.mcp_server.offer import offered
from picoclaw_fleet.mcp_server.server import create_server
from picoclaw_fleet.mcp_server.tools import TOOLS

LOOKING: dict[str, list[dict[str, Any]]] = {
    "fleet_status": [{}, {"hosts": ["ada"]}],
    "jobs": [{}, {"state": "queued"}, {"host": "ada"}, {"batch_id": "b_1"}, {"limit": 1, "offset": 1}],
    "job_result": [{"batch_id": "b_1"}, {"batch_id": "b_1", "wait_seconds": 1}],
}
RESOURCES = ("fleet://config", "fleet://hosts/ada")


@pytest.fixture
async def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EmbeddedFleet]:
    """One host, and a ledger with a job that was queued when its process died."""
    async with EmbeddedFleet(tmp_path / "fleet") as fleet:
        await fleet.add("ada", picoclaw=SMALL_PICOCLAW)
        fleet.write_config()
        monkeypatch.setenv("HOME", str(fleet.home))
        monkeypatch.setenv("PICOCLAW_FLEET_STATE_DIR", str(fleet.state))
        ledger = Ledger(fleet.state / f"ledger-{platform.node()}.sqlite")
        await ledger.open()
        await ledger.add([Job("left behind", ("ada",), 60, "b_1")])
        await die(ledger)
        yield fleet


@asynccontextmanager
async def server(fleet: EmbeddedFleet, *, read_only: bool) -> AsyncGenerator[Caller]:
    async with Client(create_server(str(fleet.config), tools=offered(read_only=read_only))) as client:
        yield Caller(client)


async def test_no_tool_that_does_more_than_look_is_there(fleet: EmbeddedFleet) -> None:
    before = _everything_on(fleet)
    async with server(fleet, read_only=True) as call:
        assert [tool.name for tool in (await call.client.list_tools()).tools] == ["fleet_status", "job_result", "jobs"]
        for tool in TOOLS:
            if tool.name not in LOOKING:
                for arguments in ({}, {"task": "x"}, {"tasks": ["x"]}, {"hosts": ["ada"], "confirm": True}):
                    assert "Unknown tool" in await call.refusal(tool.name, **arguments)
    assert _everything_on(fleet) == before


async def test_looking_changes_nothing_on_a_host_and_sets_nothing_going(fleet: EmbeddedFleet) -> None:
    before = _everything_on(fleet)
    async with server(fleet, read_only=True) as call:
        for tool, calls in LOOKING.items():
            for arguments in calls:
                await call(tool, **arguments)
        for uri in RESOURCES:
            await call.client.read_resource(uri)
        assert (await call("job_result", batch_id="b_1")).data["counts"]["queued"] == 1
    assert _everything_on(fleet) == before
    assert tasks_done(fleet.hosts["ada"].home) == []


async def test_a_server_that_may_give_out_work_goes_on_with_what_was_left_behind(fleet: EmbeddedFleet) -> None:
    async with server(fleet, read_only=False) as call:
        assert (await call("job_result", batch_id="b_1", wait_seconds=45)).data["counts"]["succeeded"] == 1
    assert tasks_done(fleet.hosts["ada"].home) == ["left behind"]


def _everything_on(fleet: EmbeddedFleet) -> dict[Path, str]:
    """Every file of the host, and the config."""
    home = fleet.hosts["ada"].home
    files = [path for path in home.rglob("*") if path.is_file()] + [fleet.config]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
