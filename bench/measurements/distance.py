"""Hosts far away: what counts there is how often something has to go there and back."""

from __future__ import annotations

import statistics
from contextlib import AsyncExitStack

from bench.contenders import FAST_OPENSSH
from bench.contenders.ours import install_runner, through_fleet, through_mcp
from bench.contenders.shell import Shell, masters, plain
from bench.delay import far_away
from bench.figures import Anew, Figures, Measurement, in_turn
from bench.lab import Lab, lab

_ONE_WAY_SECONDS = 0.025
_NOTE = (
    f"All packets come {_ONE_WAY_SECONDS * 1000:.0f} ms later, each way, through proxies on this machine; TCP's own "
    "round trip is counted. round_trips: how much longer it takes than without the distance. Who is not connected also "
    "looks at the host before a job is sent there, with us."
)


async def measure(rounds: int, *, quick: bool) -> Measurement:
    """One job on one host, and one on each of many; connected before, and not."""
    works = {1: "One job"} if quick else {1: "One job", 20: "20 jobs on as many hosts"}
    count = max(works)
    rows: list[dict[str, object]] = []
    with lab(count) as near:
        await install_runner(near, count)
        with far_away(near, _ONE_WAY_SECONDS) as far:
            for jobs, work in works.items():
                for take_turns, state in ((_warm, "connected before"), (_cold, "nobody is connected")):
                    figures = await take_turns(far, jobs, rounds)
                    beside = await take_turns(near, jobs, rounds)
                    rows += (
                        {"case": f"{work}, {state}"} | figure.row(jobs, figures[0]) | _round_trips(figure, same)
                        for figure, same in zip(figures, beside, strict=True)
                    )
    title = f"Hosts at {2 * _ONE_WAY_SECONDS * 1000:.0f} ms of round trip time"
    return Measurement("distance", title, rows, notes=(_NOTE,))


async def _warm(place: Lab, jobs: int, rounds: int) -> list[Figures]:
    async with AsyncExitStack() as stack:
        config, pids = await stack.enter_async_context(masters(place, jobs))
        mcp = await stack.enter_async_context(through_mcp(place, jobs, "dispatch_many through MCP"))
        ssh = Shell("ssh & over ControlMaster", place, jobs, config, plain, servers=pids)
        return await in_turn(place, [ssh, mcp], _tasks(jobs), rounds)


async def _cold(place: Lab, jobs: int, rounds: int) -> list[Figures]:
    ssh = Shell("ssh &", place, jobs, place.ssh_config("cold", *FAST_OPENSSH), plain)
    ours = Anew("dispatch_many through a new Fleet", lambda: through_fleet(place, jobs))
    return await in_turn(place, [ssh, ours], _tasks(jobs), rounds)


def _tasks(count: int) -> list[str]:
    return [f"t{number}" for number in range(count)]


def _round_trips(far: Figures, near: Figures) -> dict[str, object]:
    seconds = statistics.median(far.wall) - statistics.median(near.wall)
    return {"round_trips": round(seconds / (2 * _ONE_WAY_SECONDS), 1)}
