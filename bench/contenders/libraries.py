"""Libraries and tools in Python: in an environment of their own, each in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bench.contenders import check
from bench.contenders.program import ROUND_SECONDS, Said, one_task_for_all, said
from bench.lab import PORT, Lab

ENVIRONMENT = Path(sys.prefix) / "bench"
"""The virtual environment that `make bench` makes of requirements/bench.txt."""

_ROOT = Path(__file__).parents[2]


class Scripted:
    """A script that takes a round of tasks as a line on stdin, and answers with a line: how many were done."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.servers: Sequence[int] = (process.pid,)
        self._process = process

    async def work(self, tasks: Sequence[str]) -> None:
        """As the contender does it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(tasks).encode() + b"\n")
        check(self.name, await self.answer(), tasks)

    async def answer(self) -> int:
        """The next line."""
        assert self._process.stdout is not None
        async with asyncio.timeout(ROUND_SECONDS):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} has ended")
        return int(line)


@asynccontextmanager
async def scripted(name: str, module: str, python: Path, lab: Lab, count: int, *words: str) -> AsyncGenerator[Scripted]:
    """Starts one of the scripts beside this module, and waits until it is ready.

    Args:
        name: As shown in the tables.
        module: Which script.
        python: Of the environment that has its library.
        lab: Where.
        count: How many of its hosts.
        words: For the script.
    """
    process = await asyncio.create_subprocess_exec(
        str(python),
        "-m",
        f"bench.contenders.scripts.{module}",
        str(lab.written()),
        str(count),
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=_ROOT,
    )
    try:
        contender = Scripted(name, process)
        await contender.answer()
        yield contender
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


class Pyinfra:
    """`pyinfra INVENTORY exec`: its way of running a command; it keeps no connections."""

    def __init__(self, name: str, lab: Lab, count: int) -> None:
        self.name = name
        self.servers: Sequence[int] = ()
        self._count = count
        self._folder = lab.folder / "pyinfra"
        self._folder.mkdir(exist_ok=True)
        self._inventory = self._folder / f"hosts_{count}.py"
        data = {
            "ssh_user": "root",
            "ssh_port": PORT,
            "ssh_key": str(lab.key),
            "ssh_allow_agent": False,
            "ssh_look_for_keys": False,
            "ssh_known_hosts_file": str(lab.known_hosts),
        }
        hosts = [host.address for host in lab.hosts[:count]]
        self._inventory.write_text(f"hosts = ({hosts!r}, {data!r})\n")

    async def work(self, tasks: Sequence[str]) -> float | None:
        """As the contender does it."""
        return await one_task_for_all(self.name, tasks, self._count, self._run)

    async def _run(self, command: str) -> Said:
        how = ("-y", "--parallel", str(self._count), "--chdir", str(self._folder))
        return await said(str(ENVIRONMENT / "bin/pyinfra"), *how, str(self._inventory), "exec", "--", command)
