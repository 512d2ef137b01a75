"""Handing out many tasks to many hosts, next to what people use instead."""

from __future__ import annotations

import subprocess
from contextlib import AsyncExitStack
from pathlib import Path

from bench.contenders import FAST_OPENSSH, Contender
from bench.contenders.bare_asyncssh import BareAsyncssh
from bench.contenders.ours import through_fleet, through_mcp
from bench.contenders.shell import Shell
from bench.figures import Measurement, in_turn
from bench.lab import Lab, lab


async def measure(rounds: int, *, quick: bool) -> Measurement:
    """Warm and cold."""
    hosts = 5 if quick else 100
    with lab(hosts) as place:
        rows = await _warm(place, hosts, 5 * hosts, rounds)
    return Measurement("fan_out", "Handing out tasks", rows)


async def _warm(place: Lab, hosts: int, jobs: int, rounds: int) -> list[dict[str, object]]:
    tasks = [f"t{number}" for number in range(jobs)]
    mux = place.ssh_config(
        "mux", "ControlMaster auto", f"ControlPath {place.folder}/cm-%h", "ControlPersist 600", *FAST_OPENSSH
    )
    naive = place.ssh_config("naive")
    async with AsyncExitStack() as stack:
        fleet = await stack.enter_async_context(through_fleet(place, hosts))
        mcp = await stack.enter_async_context(through_mcp(place, hosts))
        await fleet.fleet.status()
        bare = BareAsyncssh("asyncssh gather, same command", place, hosts, runner=True)
        plain = BareAsyncssh("asyncssh gather, plain worker", place, hosts, runner=False)
        for one in (bare, plain):
            await one.connect()
            stack.callback(one.close)
        for host in place.hosts[:hosts]:
            subprocess.run(["ssh", "-F", str(mux), host.name, "true"], check=True)
        stack.callback(lambda: [_close_master(mux, host.name) for host in place.hosts[:hosts]])
        contenders: list[Contender] = [
            mcp,
            fleet,
            bare,
            plain,
            Shell("ssh ControlMaster &, plain worker", place, hosts, mux),
            Shell("ssh & (the original skill's loop), plain worker", place, hosts, naive),
        ]
        figures = await in_turn(place, contenders, tasks, rounds)
    return [figure.row(jobs, figures[0]) for figure in figures]


def _close_master(config: Path, name: str) -> None:
    subprocess.run(["ssh", "-F", str(config), "-O", "exit", name], capture_output=True, check=False)
