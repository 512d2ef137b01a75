"""Putting a binary on many hosts, next to scp over shared connections and asyncssh without anything around it."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from asyncio.subprocess import DEVNULL
from collections.abc import Generator, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import asyncssh

from bench.contenders.bare_asyncssh import BareAsyncssh
from bench.contenders.shell import masters
from bench.figures import Goal, Measurement, in_turn
from bench.lab import Lab, lab
from bench.memory import forget_peak, held_mb, peak_mb
from picoclaw_fleet.config.file import ConfigSource
from picoclaw_fleet.fleet import LONGEST_WAIT_SECONDS, Fleet
from picoclaw_fleet.rollout import HostProgress
from picoclaw_fleet.rollout.rollout import UPLOADS

_MB = 1_000_000
_PIECE = 256 << 10
_CACHE = "PICOCLAW_FLEET_CACHE_DIR"
_WALL = "A binary of 25 MB for 50 hosts: sending it takes at most 1.5 times as long as scp over shared connections"
_MEMORY = "A binary of 25 MB for 50 hosts: deploy takes at most 60 MB of memory more"
_NOTE = (
    "A deploy does more than a copy: it looks at each host, tries the first one alone (the canary), verifies digests, "
    "writes settings, runs the binary four times and reads back. The goal is held to the time during which any host "
    "was being sent to, the canary's included; the whole deploy is shown beside it. While some hosts are sent to, "
    "others verify and install, here on the same processors. asyncssh is `cat >FILE` of one buffer, on as many hosts "
    "at a time as a deploy sends to: its packets of 32 KB are made in Python, on one processor, where scp's processes "
    "use all of them; encrypting is about a tenth of that work. With gzip the hosts' processors would take more than "
    "the controller's saves (transport/upload.py). Each round has a new binary of a length of its own, made of this "
    "machine's programs. Memory: of this process, the most that any deploy has added."
)
_PROGRAM = """\
#!/bin/sh
# Stands for PicoClaw; the rest of its size follows.
[ "$1" != version ] || echo "picoclaw 0.2.9"
exit 0
"""


async def measure(rounds: int, *, quick: bool) -> Measurement:
    """Everybody is connected before."""
    count, size = (4, 2 * _MB) if quick else (50, 25 * _MB)
    with lab(count) as place:
        async with AsyncExitStack() as stack:
            config, pids = await stack.enter_async_context(masters(place, count))
            stack.enter_context(_cache_in(place.folder / "cache"))
            fleet_config = place.config(count, api_base="http://127.0.0.1:9", model="none")
            fleet = await stack.enter_async_context(Fleet(ConfigSource(fleet_config), state=place.folder / "state"))
            await fleet.status()
            connections = BareAsyncssh("", place, count, runner=False)
            await connections.connect()
            stack.callback(connections.close)
            programs = _programs(place, size, rounds + 1)
            deploy = Deploy(fleet, iter(programs))
            contenders = [
                Scp(place, config, pids, iter(programs)),
                Scp(place, config, pids, iter(programs), verify=True),
                deploy,
                Cat(place, connections, iter(programs)),
            ]
            figures = await in_turn(place, contenders, [host.name for host in place.hosts], rounds)
    reference = figures[0]
    sending = statistics.median(deploy.sending[1:])
    ratio = sending / statistics.median(reference.wall)
    rows = [figure.row(count, reference) for figure in figures]
    rows[2]["memory_growth_mb"] = round(deploy.growth_mb)
    rows.append({"contender": "the sending alone", "wall_s": round(sending, 3), "ratio": round(ratio, 2)})
    return Measurement(
        "upload",
        f"A binary of {size // _MB} MB for {count} hosts",
        rows,
        goals=(Goal(9, _WALL, ratio, 1.5), Goal(9, _MEMORY, deploy.growth_mb, 60)),
        notes=(_NOTE,),
    )


class Deploy:
    """Our deploy of a local file.

    Attributes:
        sending: For how many seconds any host was being sent to, round by round.
        growth_mb: The most memory that a deploy has added to this process.
    """

    def __init__(self, fleet: Fleet, programs: Iterator[Path]) -> None:
        self.name = "deploy through Fleet"
        self.servers: Sequence[int] = ()
        self.sending: list[float] = []
        self.growth_mb = 0.0
        self._fleet = fleet
        self._programs = programs

    async def work(self, tasks: Sequence[str]) -> None:
        """As the contender does it."""
        program, clock = next(self._programs), SendingClock()
        forget_peak(os.getpid())
        before = held_mb(os.getpid())
        outcomes = await self._deploy(program, clock)
        while "in_progress" in outcomes:
            # It goes on, and the same call again waits for it.
            outcomes = await self._deploy(program, clock)
        assert outcomes <= {"installed", "upgraded", "unchanged"}, outcomes
        self.sending.append(clock.seconds)
        self.growth_mb = max(self.growth_mb, peak_mb(os.getpid()) - before)

    async def _deploy(self, program: Path, clock: SendingClock) -> set[str]:
        result = await self._fleet.deploy(
            ["all"], local=program, wait_seconds=LONGEST_WAIT_SECONDS, on_change=clock.see
        )
        return {host.message or "failed" if host.outcome == "failed" else str(host.outcome) for host in result.hosts}


class SendingClock:
    """Runs while any host is in the step `upload`.

    Attributes:
        seconds: How long it ran.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._sent_to: set[str] = set()
        self._since = 0.0

    def see(self, host: str, progress: HostProgress) -> None:
        """A host has come further."""
        before = bool(self._sent_to)
        (self._sent_to.add if progress.step == "upload" else self._sent_to.discard)(host)
        if self._sent_to and not before:
            self._since = time.monotonic()
        if before and not self._sent_to:
            self.seconds += time.monotonic() - self._since


class Scp:
    """`scp FILE HOST: &` for each host, and a wait.

    Args:
        place: Where.
        ssh_config: How hosts are reached.
        servers: The masters of the shared connections.
        programs: What is sent, round by round.
        verify: Whether each host works out the digest of what it got.
    """

    def __init__(
        self,
        place: Lab,
        ssh_config: Path,
        servers: Sequence[int],
        programs: Iterator[Path],
        *,
        verify: bool = False,
    ) -> None:
        self.name = "scp, then sha256sum" if verify else "scp & over ControlMaster"
        self.servers = servers
        self._verify = verify
        self._copies = {host.name: host.home / "copied" for host in place.hosts}
        self._config = ssh_config
        self._programs = programs

    async def work(self, tasks: Sequence[str]) -> None:
        """As the contender does it."""
        program = next(self._programs)
        await asyncio.gather(*(self._copy(program, host) for host in tasks))
        assert all(copy.stat().st_size == program.stat().st_size for copy in self._copies.values())

    async def _copy(self, program: Path, host: str) -> None:
        await self._run("scp", "-q", str(program), f"{host}:{self._copies[host]}")
        if self._verify:
            await self._run("ssh", host, f"sha256sum {self._copies[host]}")

    async def _run(self, command: str, *words: str) -> None:
        process = await asyncio.create_subprocess_exec(
            command, "-F", str(self._config), *words, stdin=DEVNULL, stdout=DEVNULL
        )
        assert await process.wait() == 0, words


class Cat:
    """asyncssh, with nothing around it."""

    def __init__(self, place: Lab, bare: BareAsyncssh, programs: Iterator[Path]) -> None:
        self.name = "asyncssh, cat"
        self.servers: Sequence[int] = ()
        self._copies = [host.home / "copied" for host in place.hosts]
        self._bare = bare
        self._programs = programs

    async def work(self, tasks: Sequence[str]) -> None:
        """As the contender does it."""
        content = next(self._programs).read_bytes()
        room = asyncio.Semaphore(UPLOADS)

        async def send(connection: asyncssh.SSHClientConnection, copy: Path) -> None:
            async with room, connection.create_process(f"cat >{copy}", encoding=None) as process:
                for start in range(0, len(content), _PIECE):
                    process.stdin.write(content[start : start + _PIECE])
                    await process.stdin.drain()
                process.stdin.write_eof()
                assert (await process.wait()).exit_status == 0

        await asyncio.gather(*map(send, self._bare.connections, self._copies))
        assert all(copy.stat().st_size == len(content) for copy in self._copies)


def _programs(place: Lab, size: int, count: int) -> list[Path]:
    """So many binaries, no two alike or of the same length, made of machine code as this machine's programs have it."""
    folder = place.folder / "programs"
    folder.mkdir()
    code = bytearray()
    for program in sorted(Path("/usr/bin").iterdir()):
        if len(code) < size and program.is_file():
            code += program.read_bytes()
    files = [folder / str(number) for number in range(count)]
    for number, file in enumerate(files):
        file.write_bytes((_PROGRAM.encode() + os.urandom(16) + code)[: size - number])
    return files


@contextmanager
def _cache_in(folder: Path) -> Generator[None]:
    """Nothing of this is to be found in the user's cache afterwards."""
    before = os.environ.get(_CACHE)
    os.environ[_CACHE] = str(folder)
    try:
        yield
    finally:
        del os.environ[_CACHE]
        if before is not None:
            os.environ[_CACHE] = before
