"""`python -m bench`: all measurements, as tables on stdout and as JSON in bench/results.json."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
from contextlib import AsyncExitStack
from pathlib import Path

from bench.contenders import (
    FAST_OPENSSH,
    BareAsyncssh,
    Contender,
    Shell,
    through_fleet,
    through_mcp,
)
from bench.lab import Lab, lab
from bench.measure import in_turn, table

RESULTS = Path(__file__).with_name("results.json")


async def warm(place: Lab, hosts: int, jobs: int, rounds: int) -> list[dict[str, object]]:
    """Goal 1 and 2: everybody has been connected before."""
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


async def cold(place: Lab, hosts: int, rounds: int) -> list[dict[str, object]]:
    """Goal 4: nobody has a connection."""
    tasks = [f"t{number}" for number in range(hosts)]
    fast = place.ssh_config("fast", *FAST_OPENSSH)
    contenders: list[Contender] = [
        ColdFleet(place, hosts),
        BareAsyncssh("asyncssh gather, plain worker", place, hosts, runner=False, warm=False),
        Shell("ssh &, curve25519 and aes128-gcm", place, hosts, fast),
        Shell("ssh & (the original skill's loop)", place, hosts, place.ssh_config("naive")),
    ]
    figures = await in_turn(place, contenders, tasks, rounds)
    return [figure.row(hosts, figures[0]) for figure in figures]


class ColdFleet:
    """A new `Fleet` for each round: connecting, probing, dispatching."""

    def __init__(self, place: Lab, count: int) -> None:
        self.name = "Fleet"
        self.servers = ()
        self._place = place
        self._count = count

    async def work(self, tasks: list[str]) -> None:
        """As the contender does it."""
        async with through_fleet(self._place, self._count) as fleet:
            await fleet.work(tasks)


async def status(place: Lab, hosts: int, rounds: int) -> list[dict[str, object]]:
    """Goal 7: the state of the whole fleet, against `true` on each host."""
    async with AsyncExitStack() as stack:
        fleet = await stack.enter_async_context(through_fleet(place, hosts))
        true = TrueEverywhere(place, hosts)
        await true.connect()
        stack.callback(true.close)
        figures = await in_turn(place, [StatusOf(fleet.fleet, hosts), true], [""] * hosts, rounds)
    return [figure.row(hosts, figures[1]) for figure in figures]


class StatusOf:
    """fleet_status of all hosts."""

    def __init__(self, fleet: object, hosts: int) -> None:
        self.name = "fleet_status"
        self.servers = ()
        self._fleet = fleet
        self._hosts = hosts

    async def work(self, tasks: list[str]) -> None:
        """As the contender does it."""
        result = await self._fleet.status()  # type: ignore[attr-defined]
        assert sum(host.picoclaw == "ready" for host in result.hosts) == self._hosts


class TrueEverywhere(BareAsyncssh):
    """The cheapest command there is, on each host."""

    def __init__(self, place: Lab, hosts: int) -> None:
        super().__init__("asyncssh gather, true", place, hosts, runner=False)

    async def work(self, tasks: list[str]) -> None:
        """As the contender does it."""
        await asyncio.gather(*(connection.run("true", encoding=None) for connection in self._connections))


def _close_master(config: Path, name: str) -> None:
    subprocess.run(["ssh", "-F", str(config), "-O", "exit", name], capture_output=True, check=False)


async def main() -> None:
    """Runs everything and reports."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--hosts", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--cold-hosts", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    results: dict[str, list[dict[str, object]]] = {}
    with lab(max(chosen.hosts, chosen.cold_hosts)) as place:
        for title, measured in (
            (f"{chosen.jobs} jobs on {chosen.hosts} warm hosts", warm(place, chosen.hosts, chosen.jobs, chosen.rounds)),
            (
                f"{chosen.cold_hosts} jobs on {chosen.cold_hosts} cold hosts",
                cold(place, chosen.cold_hosts, chosen.rounds),
            ),
            (f"state of {chosen.hosts} warm hosts", status(place, chosen.hosts, chosen.rounds)),
        ):
            results[title] = await measured
            print(table(title, results[title]), flush=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
