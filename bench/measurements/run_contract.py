"""What the run contract costs a host, over running the worker plainly."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Sequence
from contextlib import AsyncExitStack

from bench.contenders.bare_asyncssh import BareAsyncssh
from bench.contenders.ours import ThroughMcp, install_runner, through_mcp
from bench.cpu import Processes
from bench.figures import Figures, Goal, Measurement, in_turn
from bench.lab import Lab, lab

_PROCESSES = 100
_TOGETHER = 4
"""Well below what sshd allows on a connection, where who has ended counts for a moment longer."""

_GOAL = (
    "The run contract costs a host at most 12 ms of CPU per job over running the worker plainly "
    f"(dash, a host of {_PROCESSES} processes)"
)
_NOTE = (
    "One host, filled up with idle processes. CPU of all its processes: sshd, shells, worker, runner, and what looks "
    "at the host or clears away behind the jobs. The goal is held to one job at a time: several at once see each "
    "other's processes besides."
)


async def measure(rounds: int, *, quick: bool) -> Measurement:
    """The same jobs by plain sshd and through our server, one at a time and several at once."""
    jobs = 12 if quick else 120
    tasks = [f"t{number}" for number in range(jobs)]
    rows: list[dict[str, object]] = []
    costs: list[float] = []
    with lab(1) as place:
        async with AsyncExitStack() as stack:
            await install_runner(place, 1)
            mcp = await stack.enter_async_context(through_mcp(place, 1))
            plain = BareAsyncssh("", place, 1, runner=False)
            await plain.connect()
            stack.callback(plain.close)
            await _fill(place, plain)
            for at_once, case in ((1, "one job at a time"), (_TOGETHER, f"{_TOGETHER} jobs at once")):
                contenders = (Plain(plain, at_once), UnderContract(mcp, at_once))
                reference, ours = await in_turn(place, contenders, tasks, rounds)
                costs.append((_host_ms(ours) - _host_ms(reference)) / jobs)
                for figure, cost in ((reference, 0.0), (ours, costs[-1])):
                    rows.append({"case": case, **figure.row(jobs, reference), "host_cpu_ms_over_plain": round(cost, 2)})
    return Measurement(
        "run_contract",
        f"The run contract on a host of {_PROCESSES} processes, {jobs} jobs",
        rows,
        goals=(Goal(3, _GOAL, costs[0], 12),),
        notes=(_NOTE,),
    )


class Plain:
    """The worker called over one connection, and nothing else."""

    def __init__(self, bare: BareAsyncssh, at_once: int) -> None:
        self.name = "plain worker through sshd"
        self.servers: Sequence[int] = ()
        self._bare = bare
        self._at_once = at_once

    async def work(self, tasks: Sequence[str]) -> None:
        """As the contender does it."""
        queues = (tasks[number :: self._at_once] for number in range(self._at_once))
        await asyncio.gather(*map(self._one_after_another, queues))

    async def _one_after_another(self, tasks: Sequence[str]) -> None:
        for task in tasks:
            await self._bare.work([task])


class UnderContract:
    """The same through our server."""

    def __init__(self, mcp: ThroughMcp, at_once: int) -> None:
        self.name = "run contract, through MCP"
        self.servers = mcp.servers
        self._mcp = mcp
        self._at_once = at_once

    async def work(self, tasks: Sequence[str]) -> None:
        """As the contender does it."""
        arguments = {"tasks": list(tasks), "max_parallel": self._at_once}
        result = (await self._mcp.client.call_tool("dispatch_many", arguments)).structured_content
        assert result is not None and result["counts"]["succeeded"] == len(tasks), result


async def _fill(place: Lab, plain: BareAsyncssh) -> None:
    """Starts idle processes until the host has as many as it is to have."""
    (host,) = place.hosts
    missing = _PROCESSES - len(Processes().below(host.pid))
    loop = f"for number in $(seq {missing}); do sleep 86400 & done"
    await plain.connections[0].run(f"sh -c '{loop}' </dev/null >/dev/null 2>&1", check=True)


def _host_ms(figures: Figures) -> float:
    return statistics.median(figures.hosts) * 1000
