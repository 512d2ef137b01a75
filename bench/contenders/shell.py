"""A bash script with one `ssh` for each task: what one writes without any tool."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bench.contenders import FAST_OPENSSH, check, plain_command
from bench.contenders.bare_asyncssh import runner_call
from bench.contenders.program import said
from bench.lab import Lab

_MASTERS_AT_ONCE = 12

Line = Callable[[str, str, Path], str]
"""Makes what starts one task in the background: out of the words that reach the host, the task, and a FIFO."""


def original(ssh: str, task: str, fifo: Path) -> str:
    """A script for bash on stdin, as the skill sent it that this project began with."""
    return f"{ssh} bash -s <<< {shlex.quote(plain_command(task))} &"


def plain(ssh: str, task: str, fifo: Path) -> str:
    """The worker's command, and nothing besides."""
    return f"{ssh} {shlex.quote(plain_command(task))} </dev/null &"


def as_we_do(ssh: str, task: str, fifo: Path) -> str:
    """The very command that we send. Its stdin stays open, as it has to."""
    command, stdin = runner_call(task)
    os.mkfifo(fifo)
    return f"{ssh} {shlex.quote(command)} <>{fifo} & printf %s {shlex.quote(stdin.decode())} >{fifo}"


class Shell:
    """`ssh HOST ... &` for each task, and a `wait`.

    Args:
        name: As shown in the tables.
        lab: Where.
        count: How many of its hosts.
        ssh_config: How they are reached.
        line: What is sent.
        servers: The masters of shared connections.
        at_once: Whether one task doesn't wait for the end of the one before it.
    """

    def __init__(
        self,
        name: str,
        lab: Lab,
        count: int,
        ssh_config: Path,
        line: Line = original,
        *,
        servers: Sequence[int] = (),
        at_once: bool = True,
    ) -> None:
        self.name = name
        self.servers = servers
        self._hosts = lab.hosts[:count]
        self._config = ssh_config
        self._line = line
        self._at_once = at_once
        self._folder = lab.folder / f"shell-{len(list(lab.folder.glob('shell-*')))}"
        self._folder.mkdir()

    async def work(self, tasks: Sequence[str]) -> float | None:
        """As the contender does it."""
        script = self._folder / "script"
        for left in self._folder.iterdir():
            left.unlink()
        lines = [self._task(number, task) for number, task in enumerate(tasks)]
        script.write_text("\n".join([*lines, "wait", ""]))
        output = await said("bash", str(script))
        check(self.name, output.done, tasks, output.text)
        return output.first

    def _task(self, number: int, task: str) -> str:
        ssh = f"ssh -F {self._config} {self._hosts[number % len(self._hosts)].name}"
        line = self._line(ssh, task, self._folder / str(number))
        return line if self._at_once else line.removesuffix("&")


@asynccontextmanager
async def masters(lab: Lab, count: int) -> AsyncGenerator[tuple[Path, list[int]]]:
    """An ssh_config with a shared connection to each of the first hosts, which are open, and their masters' pids."""
    config = lab.ssh_config(
        "mux", "ControlMaster auto", f"ControlPath {lab.folder}/cm-%h", "ControlPersist 600", *FAST_OPENSSH
    )
    places = asyncio.Semaphore(_MASTERS_AT_ONCE)

    async def open_one(name: str) -> int:
        async with places:
            await _ssh(config, name, "true")
            # It is told on stderr: "Master running (pid=123)".
            found = re.search(rb"pid=(\d+)", await _ssh(config, "-O", "check", name))
        assert found, f"no master for {name}"
        return int(found[1])

    names = [host.name for host in lab.hosts[:count]]
    try:
        yield config, list(await asyncio.gather(*map(open_one, names)))
    finally:
        for name in names:
            await _ssh(config, "-O", "exit", name)


async def _ssh(config: Path, *words: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        "ssh", "-F", str(config), *words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _, stderr = await process.communicate()
    return stderr
