"""What a long known_hosts and a long ~/.ssh/config cost the controller for each handshake."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import time
from contextlib import AsyncExitStack
from dataclasses import replace

from bench.contenders.ours import ThroughMcp, through_mcp
from bench.cpu import Processes
from bench.figures import Goal, Measurement
from bench.lab import Lab, lab

_LINES = 1000
_BLOCKS = 300
_GOAL = (
    f"With a known_hosts of {_LINES:,} lines and an ssh config of {_BLOCKS} hosts, a handshake costs the controller "
    "at most 1.2 times the CPU that it costs without, after a host's first contact"
)
_HASHED = f"{_GOAL}; the same where the names in known_hosts are hashed, as Debian and Ubuntu write them"
_NOTE = (
    "CPU of a handshake: that of a fleet_status which has to connect, less that of one which has not. The round before "
    "the first, in which files are read for the first time, does not count."
)


async def measure(rounds: int, *, quick: bool) -> Measurement:
    """Three controllers with homes of their own look at the same hosts, warm and after all connections were cut."""
    count = 5 if quick else 100
    with lab(count) as place:
        async with AsyncExitStack() as stack:
            homes = {
                "no ssh config, a known_hosts of these hosts alone": _home(place, "plain"),
                f"{_BLOCKS} hosts, {_LINES:,} lines": _long(_home(place, "long")),
                f"{_BLOCKS} hosts, {_LINES:,} lines with hashed names": _long(_home(place, "hashed"), hashed=True),
            }
            controllers = [
                Controller(name, await stack.enter_async_context(through_mcp(home, count)))
                for name, home in homes.items()
            ]
            for _ in range(rounds + 1):
                for controller in controllers:
                    await controller.reconnect(place)
    short, long, hashed = controllers
    return Measurement(
        "handshakes",
        f"Connecting again to {count} hosts",
        [controller.row(count, short) for controller in controllers],
        goals=(
            Goal(5, _GOAL, long.handshakes / short.handshakes, 1.2),
            Goal(5, _HASHED, hashed.handshakes / short.handshakes, 1.2),
        ),
        notes=(_NOTE,),
    )


class Controller:
    """A server of ours, and what it took round by round.

    Args:
        name: As shown in the table.
        mcp: The server.
    """

    def __init__(self, name: str, mcp: ThroughMcp) -> None:
        self.name = name
        self._mcp = mcp
        self._cold: list[float] = []
        self._warm: list[float] = []
        self._walls: list[float] = []

    @property
    def handshakes(self) -> float:
        """CPU seconds of all handshakes of a round."""
        return statistics.median(self._cold[1:]) - statistics.median(self._warm[1:])

    def row(self, count: int, reference: Controller) -> dict[str, object]:
        """Medians, and the ratio to the reference."""
        return {
            "controller": self.name,
            "handshake_cpu_ms": round(self.handshakes / count * 1000, 2),
            "ratio": round(self.handshakes / reference.handshakes, 2),
            "first_contact_cpu_ms": round(self._cold[0] / count * 1000, 2),
            "wall_s": round(statistics.median(self._walls[1:]), 3),
        }

    async def reconnect(self, place: Lab) -> None:
        """One round."""
        cut_connections(place)
        # Whoever answers this has seen that his connections are gone.
        await self._mcp.client.call_tool("jobs", {})
        began = time.monotonic()
        self._cold.append(await self._status_cpu())
        self._walls.append(time.monotonic() - began)
        self._warm.append(await self._status_cpu())

    async def _status_cpu(self) -> float:
        before = Processes().seconds(self._mcp.servers)
        result = (await self._mcp.client.call_tool("fleet_status", {})).structured_content
        assert result is not None
        assert all(host["reachable"] for host in result["hosts"]), result["summary"]
        return Processes().seconds(self._mcp.servers) - before


def cut_connections(place: Lab) -> None:
    """Ends all connections, at the hosts' end: whatever runs there below sshd is killed."""
    processes = Processes()
    for host in place.hosts:
        for sshd in processes.below(host.pid)[1:2]:
            for pid in processes.below(sshd)[1:]:
                os.kill(pid, signal.SIGKILL)


def _home(place: Lab, name: str) -> Lab:
    """The same hosts, seen from another home."""
    folder = place.folder / name
    (folder / ".ssh").mkdir(parents=True)
    known_hosts = folder / ".ssh/known_hosts"
    known_hosts.write_text(place.known_hosts.read_text())
    return replace(place, folder=folder, known_hosts=known_hosts)


def _long(home: Lab, *, hashed: bool = False) -> Lab:
    """Other people's hosts around ours."""
    lines = home.known_hosts.read_text().splitlines()
    key = lines[0].partition(" ")[2]
    lines += [f"elsewhere{number}.example.org {key}" for number in range(len(lines), _LINES)]
    home.known_hosts.write_text("".join(f"{line}\n" for line in lines))
    if hashed:
        subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(home.known_hosts)], check=True, capture_output=True)
    blocks = (
        f"Host elsewhere{number}\n  HostName elsewhere{number}.example.org\n  User u{number}\n  Port {2200 + number}\n"
        for number in range(_BLOCKS)
    )
    (home.folder / ".ssh/config").write_text("".join(blocks))
    return home
