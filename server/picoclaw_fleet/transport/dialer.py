"""Connecting to one host: TCP or jump host, greeting, handshake, each within its limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import asyncssh

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.transport.access import Access
from picoclaw_fleet.transport.connection import Connection
from picoclaw_fleet.transport.faults import Attempt, Stage
from picoclaw_fleet.transport.greeting import Greeting, Look
from picoclaw_fleet.transport.host_keys import HostKey, describe, trust
from picoclaw_fleet.transport.lookups import Lookups
from picoclaw_fleet.transport.quirks import one_command_at_a_time
from picoclaw_fleet.transport.turns import Turns
from picoclaw_fleet.transport.wire import JumpWire, TcpWire, Wire, dial

MAX_DIALS = 256
MAX_HANDSHAKES = 16
"""More gain nothing: the CPU is the limit, and the first result would come with the last."""


class Allowance:
    """The seconds that a host may take. They run only while we wait for the host, not while we wait for ourselves."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds

    @property
    def left(self) -> float:
        """Seconds that remain."""
        return self._left

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Let the clock run.

        Raises:
            TimeoutError: The time is up.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async with asyncio.timeout(self._left):
                yield
        finally:
            self._left = max(0.0, self._left - (loop.time() - started))


class Dialer:
    """Connects to hosts: many may be dialled at once, few shake hands at once.

    Handshakes cost CPU and are counted from the server's first words. Mute hosts wait outside, or they would keep the
    places from hosts that answer.
    """

    def __init__(self) -> None:
        self._dials = asyncio.Semaphore(MAX_DIALS)
        self._handshakes = asyncio.Semaphore(MAX_HANDSHAKES)
        self._lookups = Lookups()
        self._turns = Turns()

    async def connect(self, host: Host, access: Access, jump: Connection | None) -> Connection:
        """Connect to a host, through `jump` if there is one. Its turn is over when its first command was accepted.

        Raises:
            HostError: It did not work.
        """
        greeted: asyncssh.SSHClientConnection | None = None
        turn = await self._turns.take()
        try:
            async with AsyncExitStack() as until:
                greeting = Greeting(access, until)
                attempt = _attempt(host, access, greeting)
                try:
                    ssh, wire = await self._greet(
                        access, jump, attempt, Allowance(host.connect_timeout), greeting, until
                    )
                    greeted = ssh
                except (asyncssh.Error, OSError, ValueError) as error:
                    raise await _fault(attempt, greeting, access, error) from error
                finally:
                    await _remember(host, access, greeting)
        except BaseException:
            turn.release()
            if greeted is not None:
                greeted.abort()
            raise

        def settled() -> None:
            turn.release()
            if wire is not None:
                wire.settle()

        connection = Connection(
            host.name,
            ssh,
            single=one_command_at_a_time(ssh.get_extra_info("server_version")),
            idle_timeout=host.idle_timeout,
            open_timeout=host.connect_timeout,
            settled=settled,
        )
        greeting.when_lost = connection.broken
        return connection

    async def offered_key(self, host: Host, access: Access, jump: Connection | None) -> HostKey:
        """The key that a host shows, which nobody vouches for unless it is known.

        Raises:
            HostError: It can't be reached, or does not speak SSH; host_key_changed when the key goes against what is
                known of the host.
        """
        # Without authorities the host shows the key itself and not a certificate.
        plain = replace(access, trust=replace(access.trust, authorities=frozenset()))
        async with AsyncExitStack() as until:
            look = Look(plain, until)
            attempt = _attempt(host, plain, look)
            try:
                await self._greet(plain, jump, attempt, Allowance(host.connect_timeout), look, until)
            except (asyncssh.Error, OSError, ValueError) as error:
                if look.refused is None or access.trust.contradicts(look.refused):
                    raise await _fault(attempt, look, plain, error) from error
        assert look.refused is not None
        return describe(look.refused, access.settings, known=access.trust.knows(look.refused))

    async def _greet(
        self,
        access: Access,
        jump: Connection | None,
        attempt: Attempt,
        allowance: Allowance,
        greeting: Greeting,
        until: AsyncExitStack,
    ) -> tuple[asyncssh.SSHClientConnection, Wire | None]:
        wire = await self._wire(access, jump, attempt, allowance, until)
        attempt.by_command = wire is None
        async with self._handshakes, allowance.running():
            attempt.stage = Stage.HANDSHAKE
            options = access.options | _way(wire, access)
            return await asyncssh.connect(client_factory=lambda: greeting, **options), wire

    async def _wire(
        self, access: Access, jump: Connection | None, attempt: Attempt, allowance: Allowance, until: AsyncExitStack
    ) -> Wire | None:
        """The way in, with the server's first words on it; None for a ProxyCommand, which asyncssh runs itself."""
        settings = access.settings
        if jump is None and settings.proxy_command:
            return None
        async with self._dials, allowance.running():
            if jump is None:
                wire: TcpWire | JumpWire = TcpWire(
                    await dial(
                        settings.address,
                        settings.port,
                        family=settings.address_family,
                        bind_address=settings.bind_address,
                        timeout=allowance.left,
                        lookups=self._lookups,
                    )
                )
            else:
                wire = await jump.tunnel(settings.address, settings.port)
            until.callback(wire.close)
            attempt.stage = Stage.BANNER
            await wire.readable()
            return wire


def _attempt(host: Host, access: Access, greeting: Greeting) -> Attempt:
    settings = access.settings
    address = f"[{settings.address}]" if ":" in settings.address else settings.address
    place = f"{address}:{settings.port}"
    return Attempt(
        host.name,
        place,
        settings.user,
        host.connect_timeout,
        by_hand=f"ssh -v -p {settings.port} {settings.user}@{host.ssh_config_host or host.address}",
        offered=greeting.offered,
        problems=greeting.problems,
    )


def _way(wire: Wire | None, access: Access) -> dict[str, object]:
    if wire is not None:
        return {"tunnel": wire}
    # As in ssh, a shell gives way to the command; the names that the fleet config puts into it mean nothing to a shell.
    # asyncssh (2.24) takes standard error for words of the host, and its end for that of the connection.
    command = f"exec 9>&2 2>/dev/null; exec {access.settings.proxy_command}"
    return {"proxy_command": ["/bin/sh", "-c", command]}


async def _fault(attempt: Attempt, greeting: Greeting, access: Access, error: Exception) -> HostError:
    if greeting.refused is not None:
        return await asyncio.to_thread(access.trust.refusal, greeting.refused)
    attempt.greeted = greeting.received
    return attempt.fault(error)


async def _remember(host: Host, access: Access, greeting: Greeting) -> None:
    """Write down a new host key, as soon as it was accepted and whatever became of the rest."""
    if greeting.accepted_new is None:
        return
    key = describe(greeting.accepted_new, access.settings)
    try:
        await asyncio.shield(asyncio.to_thread(trust, key))
    except OSError as error:
        raise HostError(
            f"its host key is new and can't be written to {key.file}: {error.strerror}.",
            host=host.name,
            reason=Reason.HOST_KEY_UNKNOWN,
            next_step="Make the file writable, or name another one as known_hosts in the fleet config.",
        ) from error
