"""The lock on a host: one controller at a time changes what is installed there. ground.sh is the other half.

It is a file with a nonce. Who holds it renews it; after a minute of silence, or when the host has rebooted, it is free.
Each command checks it before each change, so a controller that was taken for dead does no more harm than its own death.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import anyio

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.transport import Pool
from picoclaw_fleet.worker.contract import new_nonce
from picoclaw_fleet.worker.script import INSTALL, Said, run_script

RENEWAL_SECONDS = 15.0
RETRY_SECONDS = 1.0
PATIENCE_SECONDS = 300.0
"""How long to wait for a lock that somebody keeps renewing."""

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Owner:
    """A process that holds locks, so that its successor on the same machine need not wait for a minute of silence.

    Attributes:
        machine: The machine's name, for people.
        process: The pid.
        space: Boot and pid namespace, without which a pid says nothing; "" where the system does not tell.
        start: When the process started, in the kernel's ticks; "" likewise.
    """

    machine: str
    process: str
    space: str
    start: str

    @classmethod
    @cache
    def ourselves(cls) -> Owner:
        """This process."""
        machine = re.sub(r"[^A-Za-z0-9.-]", "-", os.uname().nodename)[:64]
        return cls(machine, str(os.getpid()), _space(), _start(os.getpid()))

    @classmethod
    def parse(cls, word: str) -> Owner | None:
        """Reads what `str` made; None when it isn't that."""
        parts = word.split(":")
        return cls(*parts) if len(parts) == len(fields(cls)) else None

    @property
    def is_dead(self) -> bool:
        """True only when it ran here, where we can see all processes, and is gone."""
        return bool(self.space and self.start) and self.space == _space() and _start(int(self.process)) != self.start

    def __str__(self) -> str:
        return ":".join((self.machine, self.process, self.space, self.start))


def _space() -> str:
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}.{(_PROC / 'self/ns/pid').readlink().name.strip('pid:[]')}"
    except OSError:
        return ""


def _start(process: int) -> str:
    try:
        return (_PROC / str(process) / "stat").read_text().rpartition(") ")[2].split()[19]
    except OSError:
        return ""


class HostLock:
    """The lock on one host, as this deploy or teardown wants it.

    Args:
        pool: The connections.
        host: Where.
        name: The host's own name, as the probe read it.
        patience: Seconds to wait for somebody else.
    """

    def __init__(self, pool: Pool, host: Host, name: str, *, patience: float = PATIENCE_SECONDS) -> None:
        self._pool = pool
        self._host = host
        self._name = name
        self._patience = patience
        self._nonce = new_nonce()
        self._dead = "-"

    def words(self, verb: str, *more: str) -> list[str]:
        """The arguments of a script that takes or has the lock."""
        return [verb, self._name, self._nonce, str(Owner.ourselves()), self._dead, *more]

    async def take(
        self,
        script: bytes,
        *words: str,
        stdin: bytes = b"",
        secrets: Iterable[str] = (),
        on_wait: Callable[[str], None],
    ) -> Said:
        """Runs a script that begins by taking the lock, again and again for as long as somebody else has it.

        Args:
            script: INSTALL or REMOVAL.
            words: The verb and its arguments.
            stdin: What the script reads.
            secrets: What is blacked out wherever programs print it.
            on_wait: Is told who has it.

        Raises:
            HostError: locked, with the holder; or what running a script raises.
        """
        until = time.monotonic() + self._patience
        while True:
            said = await run_script(self._pool, self._host, script, self.words(*words), stdin=stdin, secrets=secrets)
            if not (locked := said.first("locked")):
                return said
            nonce, silent, word = locked.split(" ", 2)
            owner = Owner.parse(word)
            holder = f"{owner.machine}, process {owner.process}" if owner else "somebody"
            if owner and owner.is_dead and self._dead != nonce:
                self._dead = nonce
                continue
            if time.monotonic() > until:
                raise HostError(
                    f"it is being changed by {holder}, last heard of {silent} s ago.",
                    host=self._host.name,
                    reason=Reason.LOCKED,
                    retryable=True,
                    next_step="Try again later; a lock is free after a minute of silence.",
                )
            on_wait(holder)
            await anyio.sleep(RETRY_SECONDS)

    @asynccontextmanager
    async def renewed(self) -> AsyncGenerator[None]:
        """Renews the lock for as long as the block takes.

        Who has lost it is told by his next step on the host, not by the renewal: that one may as well come just after
        the block's last step has released the lock.
        """
        trouble: HostError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._renew)
            try:
                yield
            except HostError as error:  # a task group would wrap it
                trouble = error
            tasks.cancel_scope.cancel()
        if trouble is not None:
            raise trouble

    async def _renew(self) -> None:
        is_ours = True
        while is_ours:
            await anyio.sleep(RENEWAL_SECONDS)
            with suppress(HostError):  # what didn't get through is tried again
                is_ours = (await run_script(self._pool, self._host, INSTALL, self.words("renew"))).failure is None


def lock_lost(host: Host) -> HostError:
    """Somebody else took the host over."""
    return HostError(
        "somebody else took over while this was under way; nothing was broken by it.",
        host=host.name,
        reason=Reason.LOCKED,
        retryable=True,
        next_step="Try again later.",
    )
