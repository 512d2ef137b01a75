"""The fleet of the demo: embedded hosts with stand-ins for PicoClaw, one more that is down, and a client."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.client.stdio import StdioServerParameters
from tests.embedded_fleet import COMMAND, EmbeddedFleet

UP = ("ada", "bob", "cyd")
DOWN = "dot"
WORKERS: dict[str, Any] = {
    "by_task": [
        {"contains": "kernel", "exec": "uname -sr", "reply": "It runs {output}"},
        {"contains": "report 4 ", "slow": 2.8, "reply": "Its disk is nearly full."},
        {"contains": "report", "slow": 2.8, "reply": "Nothing unusual."},
        {"contains": "backup", "partial": "It is at 40 percent.\n", "slow": 600},
        {"contains": "printer", "partial": "The printer is busy.\n", "slow": 600},
    ]
}


@asynccontextmanager
async def client_of_fleet() -> AsyncGenerator[Client]:
    """Sets the fleet up, with a client of a server for it, and takes everything away again."""
    with tempfile.TemporaryDirectory(prefix="picoclaw-fleet-demo-") as folder:
        async with EmbeddedFleet(Path(folder) / "fleet") as fleet:
            for name in UP:
                await fleet.add(name, slots=2, knobs=WORKERS)
            fleet.entries.append(fleet.entry(DOWN, port=1))
            fleet.write_config()
            async with Client(StdioServerParameters(command=COMMAND, env=fleet.environment)) as client:
                yield client
