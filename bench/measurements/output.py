"""A job that prints very much, next to ssh that writes the same into a file."""

from __future__ import annotations

import asyncio
import random
import statistics
from asyncio.subprocess import DEVNULL
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from bench.contenders import plain_command
from bench.contenders.ours import ThroughMcp, install_runner, through_mcp
from bench.contenders.shell import masters
from bench.figures import Goal, Measurement, in_turn
from bench.lab import Lab, lab
from bench.memory import forget_peak, held_mb, peak_mb

_MB = 1_000_000
_MEMORY = "100 MB of output from one job: the memory of the server grows by less than 5 MB"
_WALL = "100 MB of output from one job take at most 1.2 times as long as by ssh, over a shared connection, into a file"
_NOTE = (
    "The output is a log of plain text, and lies in memory on the host. With us the host keeps it until it has arrived "
    "here, where it is searched for secrets and stored; the reply holds its first page."
)
_WORDS = (
    "read",
    "wrote",
    "opened",
    "closed",
    "sent",
    "kept",
    "found",
    "page",
    "line",
    "file",
    "host",
    "of",
    "in",
    "for",
)
_TALKER = """\
#!/bin/sh
# Answers with a long text, where that is its task.
for last; do :; done
printf '\\n🦞 done %s\\n' "$last"
[ "$last" != talk ] || cat "$0.txt"
"""


async def measure(rounds: int, *, quick: bool) -> Measurement:
    """One host, one job after another."""
    size = (2 if quick else 100) * _MB
    with lab(1) as place:
        await install_runner(place, 1)
        _make_talkative(place, size)
        async with AsyncExitStack() as stack:
            config, pids = await stack.enter_async_context(masters(place, 1))
            mcp = await stack.enter_async_context(through_mcp(place, 1))
            await mcp.work(["hello"])
            ours = OurTalk(place, mcp, size)
            figures = await in_turn(place, [SshTalk(place, config, pids, size), ours], ["talk"], rounds)
    reference, through = figures
    rows = [
        {**figure.row(1, reference), "MB_per_s": round(size / _MB / statistics.median(figure.wall))}
        for figure in figures
    ]
    rows[1]["memory_growth_mb"] = round(max(ours.growth), 1)
    return Measurement(
        "output",
        f"{size // _MB} MB of output from one job",
        rows,
        goals=(Goal(8, _MEMORY, max(ours.growth), 5), Goal(8, _WALL, through.ratio(reference), 1.2)),
        notes=(_NOTE,),
    )


class SshTalk:
    """`ssh HOST worker >file`."""

    def __init__(self, place: Lab, ssh_config: Path, servers: Sequence[int], size: int) -> None:
        self.name = "ssh over ControlMaster into a file, plain worker"
        self.servers = servers
        self._command = ("ssh", "-F", str(ssh_config), place.hosts[0].name, plain_command("talk"))
        self._file = place.folder / "talk.out"
        self._size = size

    async def work(self, tasks: Sequence[str]) -> None:
        """As the contender does it."""
        with self._file.open("wb") as file:
            process = await asyncio.create_subprocess_exec(*self._command, stdin=DEVNULL, stdout=file)
            await process.wait()
        assert self._file.stat().st_size > self._size


class OurTalk:
    """`dispatch` through MCP.

    Attributes:
        growth: How much more memory the server has held at most than before, in MB, job by job.
    """

    def __init__(self, place: Lab, mcp: ThroughMcp, size: int) -> None:
        self.name = "dispatch through MCP"
        self.servers = mcp.servers
        self.growth: list[float] = []
        self._place = place
        self._mcp = mcp
        self._size = size

    async def work(self, tasks: Sequence[str]) -> None:
        """As the contender does it."""
        (server,) = self.servers
        forget_peak(server)
        before = held_mb(server)
        job = (await self._mcp.client.call_tool("dispatch", {"task": tasks[0]})).structured_content
        self.growth.append(peak_mb(server) - before)
        assert job is not None and job["state"] == "succeeded", job
        (answer,) = self._place.folder.glob(f"state-*/outputs/{job['job_id']}/answer")
        assert answer.stat().st_size > self._size


def _make_talkative(place: Lab, size: int) -> None:
    worker = place.hosts[0].home / ".local/bin/picoclaw"
    worker.write_text(_TALKER)
    block = _log(_MB)
    with Path(f"{worker}.txt").open("wb") as file:
        for _ in range(size // len(block) + 1):
            file.write(block)


def _log(size: int) -> bytes:
    """About so many bytes of a log, the same in every run."""
    chance = random.Random(1)
    lines: list[str] = []
    while size > 0:
        words = " ".join(chance.choices(_WORDS, k=8))
        lines.append(
            f"2026-11-22T10:{chance.randrange(60):02}:{chance.randrange(60):02}Z INFO worker: {words} {size}\n"
        )
        size -= len(lines[-1])
    return "".join(lines).encode()
