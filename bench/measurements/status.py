"""The state of the whole fleet, next to the cheapest command there is on each host."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack

from bench.contenders.bare_asyncssh import BareAsyncssh
from bench.contenders.ours import ThroughMcp, through_mcp
from bench.figures import Goal, Measurement, in_turn
from bench.lab import Lab, lab
from picoclaw_fleet.worker.probe import FULL_LOOK_SECONDS

_GOAL = "fleet_status of 100 warm hosts takes at most 1.5 times as long as a plain `true` on each"
_FULL_LOOKS = 3
_NOTE = (
    "Every fleet_status asks every host: load, memory, running jobs, and that it answers. Disk, architecture and "
    f"PicoClaw's version and readiness are looked at again after {FULL_LOOK_SECONDS:.0f} s (a full look)."
)


async def measure(rounds: int, *, quick: bool) -> Measurement:
    """Every look goes to every host; a brief one believes what the last full one saw of disk and PicoClaw."""
    count = 5 if quick else 100
    with lab(count) as place:
        async with AsyncExitStack() as stack:
            mcp = await stack.enter_async_context(through_mcp(place, count))
            true = TrueEverywhere(place, count)
            await true.connect()
            stack.callback(true.close)
            ours = Status("fleet_status through MCP", mcp, count)
            figures = await in_turn(place, [true, ours], [""] * count, rounds)
            full = [] if quick else await _full_looks(ours, true)
    plain, brief = figures
    return Measurement(
        "status",
        f"State of {count} warm hosts",
        [*(figure.row(count, plain) for figure in figures), *full],
        goals=(Goal(7, _GOAL, brief.ratio(plain), 1.5),),
        notes=(_NOTE,),
    )


async def _full_looks(ours: Status, true: TrueEverywhere) -> list[dict[str, object]]:
    """The same when the last full look is too old to be believed; that takes waiting, so there are few rounds."""
    walls: list[float] = []
    references: list[float] = []
    for _ in range(_FULL_LOOKS):
        await asyncio.sleep(FULL_LOOK_SECONDS + 1)
        for contender, seconds in ((ours, walls), (true, references)):
            began = time.monotonic()
            await contender.work(())
            seconds.append(time.monotonic() - began)
    wall = statistics.median(walls)
    ratio = wall / statistics.median(references)
    return [{"contender": f"{ours.name}, a full look", "wall_s": round(wall, 3), "ratio": round(ratio, 2)}]


class Status:
    """fleet_status of all hosts."""

    def __init__(self, name: str, mcp: ThroughMcp, count: int) -> None:
        self.name = name
        self.servers = mcp.servers
        self._mcp = mcp
        self._count = count

    async def work(self, tasks: Sequence[str]) -> None:
        """As the contender does it."""
        result = (await self._mcp.client.call_tool("fleet_status", {})).structured_content
        assert result is not None
        assert sum(host["picoclaw"] == "ready" for host in result["hosts"]) == self._count, result["summary"]


class TrueEverywhere(BareAsyncssh):
    """`true` on each host, by asyncssh itself."""

    def __init__(self, place: Lab, count: int) -> None:
        super().__init__("asyncssh gather, true", place, count, runner=False)

    async def work(self, tasks: Sequence[str]) -> None:
        """As the contender does it."""
        await asyncio.gather(*(connection.run("true", encoding=None) for connection in self.connections))
