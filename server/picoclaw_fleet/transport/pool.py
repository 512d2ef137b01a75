"""The connections to all hosts: made when needed, shared, watched, and closed when idle."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Self, TypeVar

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.transport import faults
from picoclaw_fleet.transport.access import Access, Accesses, Endpoint, endpoint
from picoclaw_fleet.transport.berths import Lane
from picoclaw_fleet.transport.command import Command, Completed
from picoclaw_fleet.transport.connection import Connection, ConnectionSpentError, NoRoomError
from picoclaw_fleet.transport.dialer import Dialer
from picoclaw_fleet.transport.host_keys import HostKey
from picoclaw_fleet.transport.link import Link
from picoclaw_fleet.transport.route import Resolve, next_hop

CLOSING_SECONDS = 1.0
_PIECE = 64 << 10

T = TypeVar("T")


class Pool:
    """Runs commands on hosts over SSH. Use it as an async context manager, or call `aclose`.

    Args:
        resolve: Finds a jump host by its name in the fleet config; None when it isn't there.
    """

    def __init__(self, resolve: Resolve | None = None) -> None:
        self._resolve: Resolve = resolve or _nobody
        self._accesses = Accesses()
        self._dialer = Dialer()
        self._links: dict[str, dict[Endpoint, Link]] = {}
        self._connections: set[Connection] = set()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def connect(self, host: Host) -> None:
        """Make sure that there is a connection, so that what follows is not held up, or fails, for want of one.

        Raises:
            HostError: The host can't be reached.
        """
        await self._connection(host, Lane.PROMPT)

    @asynccontextmanager
    async def command(
        self, host: Host, command: str, *, stdin: bytes = b"", lane: Lane = Lane.PROMPT
    ) -> AsyncGenerator[Command]:
        """Run a command and talk with it. Its channel is closed on leaving; the command itself is not told.

        Args:
            host: Where.
            command: For the login shell of the user there.
            stdin: What standard input begins with. A Dropbear gets it a round trip earlier than what is written later.
            lane: WAIT for a command that may wait for a job.

        Raises:
            HostError: The host can't be reached, or the command not be started. What was requested is never sent again.
        """
        running = await self._start(host, command, lane, stdin)
        try:
            yield running
        finally:
            running.abandon()

    async def run(
        self, host: Host, command: str, *, stdin: bytes = b"", limit: int = 1 << 20, timeout: float | None = None
    ) -> Completed:
        """Run a command to its end.

        Args:
            host: Where.
            command: For the login shell of the user there.
            stdin: All of its standard input.
            limit: The most bytes of standard output.
            timeout: Seconds from the request to the end; None for no limit. Connecting has its own, the host's
                connect_timeout.

        Raises:
            HostError: The host can't be reached or the command not be started; lost_contact when it isn't known how it
                ended; too_large or timeout when a limit was passed (the channel is closed, the command may go on).
        """
        async with self.command(host, command, stdin=stdin) as running:
            running.write_eof()
            try:
                async with asyncio.timeout(timeout):
                    return await _complete(host, running, limit)
            except TimeoutError:
                raise HostError(
                    f"a command did not end within {timeout:g} s.",
                    host=host.name,
                    reason=Reason.TIMEOUT,
                    retryable=True,
                    next_step="The host may be overloaded; try again later.",
                ) from None

    async def offered_key(self, host: Host) -> HostKey:
        """The key that a host shows, for a person to compare. Jump hosts on the way are verified.

        Raises:
            HostError: The host can't be reached, or does not speak SSH; host_key_changed when another key of it is
                known or pinned, or this one is revoked.
        """
        return await self._by_its_way(host, self._dialer.offered_key)

    async def aclose(self) -> None:
        """Close all connections, within a second; what runs on them loses contact."""
        self._closed = True
        for links in self._links.values():
            for link in links.values():
                link.close()
        self._links.clear()
        closing = {asyncio.create_task(connection.aclose()) for connection in self._connections}
        if closing:
            _, late = await asyncio.wait(closing, timeout=CLOSING_SECONDS)
            for connection in late:
                connection.cancel()

    async def _start(self, host: Host, command: str, lane: Lane, stdin: bytes) -> Command:
        second = False
        while True:
            connection = await self._connection(host, lane)
            try:
                return await connection.start(command, lane, stdin)
            except NoRoomError:
                continue
            except ConnectionSpentError as spent:
                connection.retire(spent.fault)
                # Nothing was requested on it, so a new connection changes nothing on the host. Once is enough.
                if second:
                    raise spent.fault from spent
                second = True

    async def _connection(self, host: Host, lane: Lane) -> Connection:
        if self._closed:
            raise faults.closed(host.name)
        # Who began before the config was changed goes on by what it said then.
        links = self._links.setdefault(host.name, {})
        wanted = endpoint(host)
        if wanted not in links:
            for outdated in links.values():
                outdated.close_when_idle()
            links[wanted] = Link(self._connect)
        return await links[wanted].connection(host, lane)

    async def _connect(self, host: Host) -> Connection:
        connection = await self._by_its_way(host, self._dialer.connect)
        self._connections.add(connection)
        connection.when_broken(lambda: self._connections.discard(connection))
        return connection

    async def _by_its_way(self, host: Host, reach: Callable[[Host, Access, Connection | None], Awaitable[T]]) -> T:
        access = await asyncio.to_thread(self._accesses.get, host)
        with suppress(ConnectionSpentError):
            return await reach(host, access, await self._jump(host, access))
        # The jump host's connection turned out to be dead; the next one is new. Once is enough.
        try:
            return await reach(host, access, await self._jump(host, access))
        except ConnectionSpentError as spent:
            raise faults.behind(host.name, spent.fault) from spent

    async def _jump(self, host: Host, access: Access) -> Connection | None:
        hop = next_hop(host, access.settings, self._resolve)
        if hop is None:
            return None
        await self._check_way(host)
        try:
            return await self._connection(hop, Lane.PROMPT)
        except HostError as error:
            raise faults.behind(host.name, error) from error

    async def _check_way(self, host: Host) -> None:
        """Refuse jump hosts that go in a circle, before their connections begin to wait for each other."""
        names: list[str] = []
        seen: set[Endpoint] = set()
        hop: Host | None = host
        while hop is not None:
            names.append(hop.name)
            # The same address is none: what one network calls 192.168.1.2 is another machine in the next.
            if endpoint(hop) in seen:
                raise faults.route_fault(host.name, f"its jump hosts go in a circle: {' -> '.join(names)}.")
            seen.add(endpoint(hop))
            settings = await asyncio.to_thread(self._accesses.settings, hop)
            hop = next_hop(hop, settings, self._resolve)


def _nobody(name: str) -> Host | None:
    return None


async def _complete(host: Host, running: Command, limit: int) -> Completed:
    output = bytearray()
    while piece := await running.read(_PIECE):
        output += piece
        if len(output) > limit:
            raise HostError(f"a command printed more than {limit} bytes.", host=host.name, reason=Reason.TOO_LARGE)
    await running.wait_closed()
    running.check()
    return Completed(bytes(output), running.stderr, running.exit_status, running.exit_signal)
