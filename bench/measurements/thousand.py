"""A thousand hosts in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

from bench.contenders import check
from bench.contenders.bare_asyncssh import BareAsyncssh
from bench.contenders.ours import ThroughMcp, through_mcp
from bench.figures import Goal, Measurement, in_turn
from bench.lab import lab
from bench.measurements.status import Status, TrueEverywhere
from bench.memory import held_mb, peak_mb

_MEMORY = "1,000 warm hosts in one process take less than 200 MB of memory"
_STATUS = "fleet_status of 1,000 warm hosts takes less than 10 s"
_MOST_ROUNDS = 3
_WAIT_SECONDS = 45


async def measure(rounds: int, *, quick: bool) -> Measurement:
    """Our server has all of them, and so has asyncssh in this process."""
    count = 20 if quick else 1000
    rounds = min(rounds, _MOST_ROUNDS)
    with lab(count) as place:
        async with AsyncExitStack() as stack:
            mcp = await stack.enter_async_context(through_mcp(place, count))
            (server,) = mcp.servers
            status = Status("fleet_status through MCP", mcp, count)
            empty, began = held_mb(server), time.monotonic()
            await status.work(())
            first, connected = time.monotonic() - began, held_mb(server)
            true = TrueEverywhere(place, count)
            began = time.monotonic()
            await true.connect()
            connecting = time.monotonic() - began
            stack.callback(true.close)
            plain = BareAsyncssh("asyncssh gather, plain worker", place, count, runner=False)
            plain.connections = true.connections
            tasks = [f"t{number}" for number in range(count)]
            looks = await in_turn(place, [true, status], tasks, rounds)
            jobs = await in_turn(place, [plain, Jobs(mcp)], tasks, rounds)
            peak = peak_mb(server)
    rows: list[dict[str, object]] = [
        {
            "case": "first contact",
            "contender": "asyncssh, connecting alone",
            "wall_s": round(connecting, 2),
            "ratio": 1.0,
        },
        {
            "case": "first contact",
            "contender": "the first fleet_status",
            "wall_s": round(first, 2),
            "ratio": round(first / connecting, 2),
        },
        *({"case": "the state of all"} | figure.row(count, looks[0]) for figure in looks),
        *({"case": f"{count:,} jobs"} | figure.row(count, jobs[0]) for figure in jobs),
    ]
    held = f"{empty:.0f} MB when it had started, {connected:.0f} MB with all connections, {peak:.0f} MB at its peak"
    return Measurement(
        "thousand",
        f"{count:,} hosts in one process",
        rows,
        goals=(Goal(10, _MEMORY, peak, 200), Goal(10, _STATUS, statistics.median(looks[1].wall), 10)),
        notes=(f"Memory of the server: {held}.",),
    )


class Jobs:
    """`dispatch_many` of all tasks, and `job_result` for as long as some are not done."""

    def __init__(self, mcp: ThroughMcp) -> None:
        self.name = "dispatch_many through MCP"
        self.servers = mcp.servers
        self._mcp = mcp

    async def work(self, tasks: Sequence[str]) -> None:
        """As the contender does it."""
        batch = await self._call("dispatch_many", {"tasks": list(tasks), "wait_seconds": _WAIT_SECONDS})
        while batch["counts"]["queued"] + batch["counts"]["running"]:
            batch = await self._call("job_result", {"batch_id": batch["batch_id"], "wait_seconds": _WAIT_SECONDS})
        check(self.name, batch["counts"]["succeeded"], tasks, batch["summary"])

    async def _call(self, tool: str, arguments: dict[str, object]) -> dict[str, Any]:
        batch = (await self._mcp.client.call_tool(tool, arguments)).structured_content
        assert batch is not None
        return batch
