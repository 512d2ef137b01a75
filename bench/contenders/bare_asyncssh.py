"""asyncssh itself with a gather over everything: the least that a Python controller can do."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Sequence

import asyncssh

from bench.contenders import DONE, check, plain_command
from bench.lab import PORT, Lab
from picoclaw_fleet.worker.contract import RUNNER_NAME, Order, fleet_folder, new_job_id, new_nonce

FAST = {"kex_algs": ["curve25519-sha256"], "encryption_algs": ["aes128-gcm@openssh.com"]}
_CHANNELS = 8
_HANDSHAKES = 32


class BareAsyncssh:
    """One connection to each host, 8 channels at a time.

    Args:
        name: As shown in the tables.
        lab: Where.
        count: How many of its hosts.
        runner: Whether to send the very command that we send, instead of the plain worker's.
        warm: Whether to keep the connections from round to round.
    """

    def __init__(self, name: str, lab: Lab, count: int, *, runner: bool, warm: bool = True) -> None:
        self.name = name
        self.servers: Sequence[int] = ()
        self.connections: list[asyncssh.SSHClientConnection] = []
        self._lab = lab
        self._hosts = lab.hosts[:count]
        self._runner = runner
        self._warm = warm

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

        self.connections = list(await asyncio.gather(*(open_one(host.address) for host in self._hosts)))

    def close(self) -> None:
        """Drops all connections."""
        for connection in self.connections:
            connection.abort()
        self.connections = []

    async def work(self, tasks: Sequence[str]) -> None:
        """As the contender does it."""
        if not self.connections:
            await self.connect()
        limits = [asyncio.Semaphore(_CHANNELS) for _ in self.connections]

        async def one(number: int, task: str) -> bool:
            index = number % len(self.connections)
            async with limits[index]:
                return await self._one(self.connections[index], task)

        done = await asyncio.gather(*(one(number, task) for number, task in enumerate(tasks)))
        check(self.name, sum(done), tasks)
        if not self._warm:
            self.close()

    async def _one(self, connection: asyncssh.SSHClientConnection, task: str) -> bool:
        if not self._runner:
            result = await connection.run(plain_command(task), encoding=None)
            return isinstance(result.stdout, bytes) and DONE.encode() in result.stdout
        command, stdin = runner_call(task)
        process = await connection.create_process(command, encoding=None)
        process.stdin.write(stdin)
        output = await process.stdout.read()
        process.close()
        return DONE.encode() in output


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
