"""Us: through `Fleet`, and through MCP over stdio as an agent uses it."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from mcp import Client
from mcp.client.stdio import StdioServerParameters

from bench.cpu import Processes
from bench.lab import Lab
from picoclaw_fleet.assignment import Assignment
from picoclaw_fleet.config_files import ConfigSource
from picoclaw_fleet.fleet import Fleet

COMMAND = Path(sys.executable).with_name("picoclaw-fleet")


class ThroughFleet:
    """Our `Fleet` in this process."""

    def __init__(self, name: str, fleet: Fleet) -> None:
        self.name = name
        self.servers: Sequence[int] = ()
        self.fleet = fleet

    async def work(self, tasks: Sequence[str]) -> None:
        """As the contender does it."""
        result = await self.fleet.dispatch_many([Assignment(task=task) for task in tasks])
        assert result.counts.succeeded == len(tasks), result.summary


class ThroughMcp:
    """Our server over stdio."""

    def __init__(self, name: str, client: Client, pid: int) -> None:
        self.name = name
        self.servers: Sequence[int] = (pid,)
        self.client = client

    async def work(self, tasks: Sequence[str]) -> None:
        """As the contender does it."""
        result = await self.client.call_tool("dispatch_many", {"tasks": list(tasks)})
        assert result.structured_content is not None
        assert result.structured_content["counts"]["succeeded"] == len(tasks), result.structured_content["summary"]


@asynccontextmanager
async def through_fleet(lab: Lab, count: int, name: str = "Fleet") -> AsyncGenerator[ThroughFleet]:
    """Our library on the first hosts."""
    async with Fleet(ConfigSource(lab.config(count)), state=lab.folder / f"state-{name}") as fleet:
        yield ThroughFleet(name, fleet)


@asynccontextmanager
async def through_mcp(lab: Lab, count: int, name: str = "MCP over stdio") -> AsyncGenerator[ThroughMcp]:
    """Our server on the first hosts."""
    before = set(Processes().below(os.getpid()))
    server = StdioServerParameters(command=str(COMMAND), env=environment(lab, count, "mcp"))
    async with Client(server) as client:
        (pid,) = set(Processes().below(os.getpid())) - before
        yield ThroughMcp(name, client, pid)


def environment(lab: Lab, count: int, state: str) -> dict[str, str]:
    """What our programs are started with: the first hosts, and a state folder of that name."""
    return {
        "HOME": str(lab.folder),
        "PATH": os.environ["PATH"],
        "PICOCLAW_FLEET_CONFIG": str(lab.config(count)),
        "PICOCLAW_FLEET_STATE_DIR": str(lab.folder / f"state-{state}"),
    }
