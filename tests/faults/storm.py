"""A storm over a fleet: the server is killed at random moments under load while links, disks and hosts fail."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from tests.embedded_fleet import EmbeddedFleet
from tests.faults.hosts import Disk, RestartableSshServer, Victim
from tests.faults.link import Link
from tests.jobs.scenario import until
from tests.mcp_server.wire import Wire, wire

SLOTS = 3
NEVER_SENT = ("unreachable", "connect_timeout", "not_installed", "not_ready", "skipped")
DEEDS = ("drop", "reset", "stall", "refuse", "late", "kill", "kill", "kill", "restart", "fill", "full")
_CALM_SECONDS = 240
_MOST_WAITING = 300


@dataclass
class Storm:
    """What is done to a fleet, and what is known of it.

    Args:
        fleet: Its config and state.
        victims: Its hosts.
        disk: What the controller's state lies on.
        dice: Decides everything.

    Attributes:
        accepted: The batches that a call has returned, with their tasks.
        tasks: How many tasks were asked for.
        kills: How often the server was killed.
        faults: What else was done, by kind.
        errors: What the servers said on stderr.
        refusals: What calls were answered that did nothing.
    """

    fleet: EmbeddedFleet
    victims: list[Victim]
    disk: Disk
    dice: random.Random
    accepted: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    tasks: int = 0
    kills: int = 0
    faults: Counter[str] = field(default_factory=Counter[str])
    errors: str = ""
    refusals: list[str] = field(default_factory=list[str])

    async def rage(self, kills: int, seconds: float) -> None:
        """Kills the server so many times, within so many seconds; meanwhile everything else fails now and then."""
        end = anyio.current_time() + seconds
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._break_things)
            while self.kills < kills and anyio.current_time() < end:
                await self._one_life()
            tasks.cancel_scope.cancel()
        self._mend_everything()

    async def calm(self) -> dict[str, Any]:
        """Brings every job to its end with one more server, and returns what that says of the hosts."""
        with anyio.fail_after(_CALM_SECONDS):
            async with wire(self.fleet.environment) as server:
                await server.initialize()
                while left := self.unfinished():
                    for scope in left:
                        name = "batch_id" if scope.startswith("b_") else "job_id"
                        await server.call("job_result", **{name: scope}, wait_seconds=2)
                await until(self._is_quiet)
                return await server.call("fleet_status")

    def rows(self) -> list[tuple[str, str, str, str, str | None]]:
        """Job, batch, task, state and reason of all that is in the ledger."""
        return self._read("SELECT job_id, batch_id, task, state, reason FROM jobs")

    def unfinished(self) -> list[str]:
        """Batches, and single jobs, that have not ended."""
        query = "SELECT DISTINCT iif(batch_id = '', job_id, batch_id) FROM jobs WHERE finished_at IS NULL"
        return [scope for (scope,) in self._read(query)]

    def _waiting(self) -> int:
        """How many jobs have not ended; more than enough while the disk is too full even for reading."""
        with suppress(sqlite3.OperationalError):
            ((count,),) = self._read("SELECT count(*) FROM jobs WHERE finished_at IS NULL")
            return count
        return _MOST_WAITING

    def _read(self, query: str) -> list[Any]:
        (ledger,) = self.fleet.state.glob("ledger-*.sqlite")
        with closing(sqlite3.connect(ledger, timeout=20)) as connection:
            return connection.execute(query).fetchall()

    async def _is_quiet(self) -> bool:
        return not any(victim.processes() for victim in self.victims)

    async def _one_life(self) -> None:
        """Starts the server, works with it until its moment has come, and kills it, whatever it is doing."""
        async with wire(self.fleet.environment) as server:
            # Some die before they have said a word.
            with anyio.move_on_after(self.dice.choice((1, 30, 30, 30, 30))):
                await server.initialize()
                with anyio.move_on_after(self.dice.uniform(0.1, 3)):
                    while True:
                        await self._one_call(server)
            server.signal(signal.SIGKILL)
            self.kills += 1
            self.errors += (await server.end())[1]

    async def _one_call(self, server: Wire) -> None:
        throw = self.dice.random()
        if not self.accepted or (throw < 0.45 and self._waiting() < _MOST_WAITING):
            await self._dispatch(server)
        elif throw < 0.88:
            await self._ask(server, "job_result", batch_id=self._some_batch(), wait_seconds=self.dice.choice((0, 0, 1)))
        elif throw < 0.92:
            await self._ask(server, "job_cancel", batch_id=self._some_batch())
        else:
            await self._ask(server, "fleet_status")

    async def _ask(self, server: Wire, tool: str, **arguments: Any) -> dict[str, Any] | None:
        """What a call returned; None when it did nothing, as on a full disk."""
        result = await server.request("tools/call", {"name": tool, "arguments": arguments})
        if not result.get("isError"):
            return result["structuredContent"]
        self.refusals.append(result["content"][0]["text"])
        return None

    async def _dispatch(self, server: Wire) -> None:
        names = [f"task {self.tasks + number}" for number in range(self.dice.choice((1, 10, 20, 40)))]
        self.tasks += len(names)
        if self.dice.random() < 0.1:
            names = [f"{name} long" for name in names]
        wait = self.dice.choice((0, 0, 0, 1))
        if len(names) == 1:
            await self._ask(server, "dispatch", task=names[0], wait_seconds=wait)
            return
        batch = await self._ask(server, "dispatch_many", tasks=names, wait_seconds=wait)
        if batch is not None:
            self.accepted[batch["batch_id"]] = names

    def _some_batch(self) -> str:
        """One that has not ended, as far as can be told."""
        unfinished: list[str] = []
        with suppress(sqlite3.OperationalError):
            unfinished = [scope for scope in self.unfinished() if scope in self.accepted]
        return self.dice.choice(unfinished or list(self.accepted))

    async def _break_things(self) -> None:
        while True:
            await anyio.sleep(self.dice.uniform(0.1, 0.8))
            victim = self.dice.choice(self.victims)
            deed = self.dice.choice(DEEDS)
            with anyio.CancelScope(shield=True):
                await self._do(deed, victim)

    async def _do(self, deed: str, victim: Victim) -> None:
        link = victim.link
        match deed:
            case "drop":
                link.drop()
            case "reset":
                link.reset()
            case "stall" | "refuse":
                link.stall() if deed == "stall" else link.refuse()
                await anyio.sleep(self.dice.uniform(0.1, 1.5))
                link.flow()
            case "late":
                link.hold_after(self.dice.randint(1, 4000))
                await anyio.sleep(self.dice.uniform(0.1, 0.5))
                link.reset_near()
                await anyio.sleep(self.dice.uniform(0.1, 1))
                link.flow()
            case "kill":
                living = victim.processes()
                if not living:
                    return
                with suppress(ProcessLookupError):
                    os.kill(self.dice.choice(living), signal.SIGKILL)
            case "restart":
                if victim.sshd is None:
                    return
                await victim.sshd.restart()
            case _:
                disk = self.disk if deed == "full" else victim.disk
                if disk is None or not disk.is_mounted:
                    return
                disk.fill()
                await anyio.sleep(self.dice.uniform(0.1, 0.7))
                disk.relieve()
        self.faults[deed] += 1

    def _mend_everything(self) -> None:
        self.disk.relieve()
        for victim in self.victims:
            victim.link.flow()
            if victim.disk is not None:
                victim.disk.relieve()


@asynccontextmanager
async def storm(folder: Path, seed: int) -> AsyncGenerator[Storm]:
    """Makes a fleet of embedded hosts and real ones, one of them on a small disk, and the storm to come over it."""
    async with AsyncExitStack() as stack:
        fleet = await stack.enter_async_context(EmbeddedFleet(folder / "fleet"))
        disk = stack.enter_context(Disk(folder / "state", "24m"))
        fleet.state = disk.folder / "picoclaw-fleet"
        fleet.defaults["connect_timeout"] = 4
        victims: list[Victim] = []
        for name in ("ada", "bob", "tiny"):
            small = stack.enter_context(Disk(fleet.folder / "hosts" / name, "3m")) if name == "tiny" else None
            host = await fleet.add(name, picoclaw=b"", slots=SLOTS)
            link = await stack.enter_async_context(Link(host.address, host.port))
            fleet.entries[-1]["port"] = link.port
            victims.append(Victim(name, host.home, link, folder / f"{name}.log", disk=small))
        key = fleet._public_key  # pyright: ignore[reportPrivateUsage]
        sshd = await stack.enter_async_context(RestartableSshServer(folder / "sshd", authorized_key=key, addresses=2))
        for name, address in zip(("cyd", "dot"), sshd.addresses, strict=True):
            link = await stack.enter_async_context(Link(address, sshd.port))
            entry = {**fleet.entry(name, link.port), "user": sshd.user, "host_key": sshd.host_key(), "slots": SLOTS}
            fleet.entries.append(entry)
            victims.append(Victim(name, sshd.home(address), link, folder / f"{name}.log", sshd=sshd))
        for victim in victims:
            victim.install()
        fleet.write_config()
        yield Storm(fleet, victims, disk, random.Random(seed))
