"""The contenders: each hands out the same tasks to the same hosts, in the way its documentation gives."""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import shlex
import subprocess
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Protocol

import asyncssh
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from bench.lab import PORT, Lab
from picoclaw_fleet.assignment import Assignment
from picoclaw_fleet.config_files import ConfigSource
from picoclaw_fleet.fleet import Fleet
from picoclaw_fleet.worker.contract import RUNNER_NAME, Order, fleet_folder, new_job_id, new_nonce

FAST = {"kex_algs": ["curve25519-sha256"], "encryption_algs": ["aes128-gcm@openssh.com"]}
FAST_OPENSSH = ("KexAlgorithms curve25519-sha256", "Ciphers aes128-gcm@openssh.com")
_CHANNELS = 8
_HANDSHAKES = 32


class Contender(Protocol):
    """Something that hands out tasks.

    Attributes:
        name: As shown in the tables.
        servers: Processes of its own on the controller, whose CPU counts as its.
    """

    name: str
    servers: Sequence[int]

    async def work(self, tasks: Sequence[str]) -> None:
        """Does all tasks, wherever it likes; fails unless all are done."""
        ...


class Shell:
    """A bash script with one `ssh ... &` for each task and a `wait`: what one writes without any tool."""

    def __init__(self, name: str, lab: Lab, count: int, ssh_config: Path) -> None:
        self.name = name
        self.servers: Sequence[int] = ()
        self._hosts = lab.hosts[:count]
        self._config = ssh_config
        self._script = lab.folder / f"{ssh_config.name}.sh"

    async def work(self, tasks: Sequence[str]) -> None:
        """As the contender does it."""
        lines = [self._line(number, task) for number, task in enumerate(tasks)]
        self._script.write_text("\n".join([*lines, "wait", ""]))
        process = await asyncio.create_subprocess_exec("bash", str(self._script), stdout=subprocess.PIPE)
        output, _ = await process.communicate()
        done = output.count("🦞 done".encode())
        assert done == len(tasks), f"{self.name}: {done} of {len(tasks)}"

    def _line(self, number: int, task: str) -> str:
        host = self._hosts[number % len(self._hosts)].name
        ssh = f"ssh -F {self._config} {host}"
        return f"{ssh} 'bash -s' <<< {shlex.quote(f'cd; .local/bin/picoclaw agent -m {shlex.quote(task)}')} &"


class BareAsyncssh:
    """asyncssh itself with a gather over everything: one connection to each host, 8 channels at a time."""

    def __init__(self, name: str, lab: Lab, count: int, *, runner: bool, warm: bool = True) -> None:
        self.name = name
        self.servers: Sequence[int] = ()
        self._lab = lab
        self._hosts = lab.hosts[:count]
        self._runner = runner
        self._warm = warm
        self._connections: list[asyncssh.SSHClientConnection] = []

    async def connect(self) -> None:
        """Opens all connections."""
        handshakes = asyncio.Semaphore(_HANDSHAKES)
        known = asyncssh.read_known_hosts(str(self._lab.known_hosts))
        key = asyncssh.read_private_key(str(self._lab.key))

        async def open_one(address: str) -> asyncssh.SSHClientConnection:
            async with handshakes:
                return await asyncssh.connect(
                    address, PORT, client_keys=[key], known_hosts=known, config=None, agent_path=None, **FAST
                )

        self._connections = list(await asyncio.gather(*(open_one(host.address) for host in self._hosts)))

    def close(self) -> None:
        """Drops all connections."""
        for connection in self._connections:
            connection.abort()
        self._connections = []

    async def work(self, tasks: Sequence[str]) -> None:
        """As the contender does it."""
        if not self._connections:
            await self.connect()
        limits = [asyncio.Semaphore(_CHANNELS) for _ in self._connections]

        async def one(number: int, task: str) -> bool:
            index = number % len(self._connections)
            async with limits[index]:
                return await self._one(self._connections[index], task)

        done = await asyncio.gather(*(one(number, task) for number, task in enumerate(tasks)))
        assert all(done), f"{self.name}: {sum(done)} of {len(tasks)}"
        if not self._warm:
            self.close()

    async def _one(self, connection: asyncssh.SSHClientConnection, task: str) -> bool:
        if not self._runner:
            result = await connection.run(f"cd; .local/bin/picoclaw agent -m {shlex.quote(task)}", encoding=None)
            return b"done" in bytes(result.stdout or b"")
        command, stdin = runner_call(task)
        process = await connection.create_process(command, encoding=None)
        process.stdin.write(stdin)
        output = await process.stdout.read()
        process.close()
        return b"done" in output


class ThroughFleet:
    """Our `Fleet` in this process."""

    def __init__(self, name: str, fleet: Fleet) -> None:
        self.name = name
        self.servers: Sequence[int] = ()
        self.fleet = fleet

    async def work(self, tasks: Sequence[str]) -> None:
        """As the contender does it."""
        result = await self.fleet.dispatch_many([Assignment(task=task) for task in tasks])
        assert result.counts.succeeded == len(tasks), result.summary


class ThroughMcp:
    """Our server over stdio, as an agent uses it."""

    def __init__(self, name: str, client: Client, pid: int) -> None:
        self.name = name
        self.servers: Sequence[int] = (pid,)
        self.client = client

    async def work(self, tasks: Sequence[str]) -> None:
        """As the contender does it."""
        result = await self.client.call_tool("dispatch_many", {"tasks": list(tasks)})
        assert result.structured_content is not None
        assert result.structured_content["counts"]["succeeded"] == len(tasks), result.structured_content["summary"]


def runner_call(task: str) -> tuple[str, bytes]:
    """The very command that we send for a task, and its stdin."""
    order = Order(new_job_id(), task.encode(), 120, 8, 1 << 28, {})
    words = [
        "cd;",
        "sh",
        f"{fleet_folder(platform.node())}/{RUNNER_NAME}",
        "start",
        new_nonce(),
        order.job_id,
        *order.arguments(),
    ]
    return " ".join(words), order.stdin()


@asynccontextmanager
async def through_fleet(lab: Lab, count: int, name: str = "Fleet") -> AsyncGenerator[ThroughFleet]:
    """Our library on the first hosts."""
    async with Fleet(ConfigSource(lab.config(count)), state=lab.folder / f"state-{name}") as fleet:
        yield ThroughFleet(name, fleet)


@asynccontextmanager
async def through_mcp(lab: Lab, count: int, name: str = "MCP over stdio") -> AsyncGenerator[ThroughMcp]:
    """Our server on the first hosts."""
    before = set(_children())
    environment = {
        "HOME": str(lab.folder),
        "PATH": os.environ["PATH"],
        "PICOCLAW_FLEET_CONFIG": str(lab.config(count)),
        "PICOCLAW_FLEET_STATE_DIR": str(lab.folder / "state-mcp"),
    }
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            Client(StdioServerParameters(command="picoclaw-fleet", env=environment))
        )
        (pid,) = set(_children()) - before
        yield ThroughMcp(name, client, pid)


def _children() -> list[int]:
    tasks = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return [int(pid) for task in tasks for pid in task.read_text().split()]


def controller_cpu_seconds(servers: Sequence[int]) -> float:
    """CPU that this process, its ended children and these servers have used so far."""
    own = sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, (0, -1)))
    ticks = sum(
        sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[11:15])) for pid in servers
    )
    return own + ticks / os.sysconf("SC_CLK_TCK")
