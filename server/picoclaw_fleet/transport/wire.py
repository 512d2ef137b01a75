"""The byte stream to an SSH server that has begun to speak: a TCP connection, or a channel of a jump host.

asyncssh connects through whatever has a `create_connection`, so the waiting for a silent server can be ours.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Protocol

import asyncssh

from picoclaw_fleet.transport.gathered import Gathered
from picoclaw_fleet.transport.lookups import Lookups

SessionFactory = Callable[[], Any]


class Wire(Protocol):
    """A stream to a server whose first bytes have arrived and are still to be read."""

    async def create_connection(self, session_factory: SessionFactory, host: str, port: int) -> tuple[Any, Any]:
        """Let asyncssh take the stream over."""
        ...

    def settle(self) -> None:
        """The first command is through."""
        ...

    def close(self) -> None:
        """Give the stream up, if nobody has taken it over."""
        ...


async def dial(
    address: str, port: int, *, family: int, bind_address: str, timeout: float, lookups: Lookups
) -> socket.socket:
    """A connected, non-blocking TCP socket. The addresses of a name are tried in turn, each with its share of the time.

    Raises:
        OSError: None of them answers; the error of the last one.
        TimeoutError: None of them within `timeout` seconds.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    candidates = await lookups.addresses(address, port, family)
    failure: OSError = TimeoutError()
    for tried, (kind, _, protocol, _, target) in enumerate(candidates):
        try:
            sock = socket.socket(kind, socket.SOCK_STREAM, protocol)
        except OSError as error:  # a kernel without IPv6, or no more files
            failure = error
            continue
        sock.setblocking(False)
        try:
            if bind_address:
                sock.bind((bind_address, 0))
            async with asyncio.timeout((deadline - loop.time()) / (len(candidates) - tried)):
                await loop.sock_connect(sock, target)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


class TcpWire:
    """A TCP connection on which the server has begun to speak."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock: socket.socket | None = sock
        self._eager: _Eager | None = None

    async def readable(self) -> None:
        """Wait until the server has sent something, or hung up, without reading it."""
        sock = self._sock
        assert sock is not None
        loop = asyncio.get_running_loop()
        arrived: asyncio.Future[None] = loop.create_future()
        # By number: for what it doesn't know yet, asyncio describes a socket, which asks the kernel for both its ends.
        number = sock.fileno()
        loop.add_reader(number, lambda: None if arrived.done() else arrived.set_result(None))
        try:
            await arrived
        finally:
            loop.remove_reader(number)

    async def create_connection(self, session_factory: SessionFactory, host: str, port: int) -> tuple[Any, Any]:
        """Let asyncssh take the connection over."""
        assert self._sock is not None
        session = session_factory()
        eager = _Eager(session)
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: eager, sock=self._sock)
        self._sock, self._eager = None, eager
        return transport, session

    def settle(self) -> None:
        """The first command is through: leave acknowledging to the kernel's habits."""
        if self._eager is not None:
            self._eager.settle()

    def close(self) -> None:
        """Close the connection, if nobody has taken it over."""
        if self._sock is not None:
            self._sock.close()


class _Eager(asyncio.Protocol):
    """Passes everything on, and acknowledges at once what arrives.

    Until the first command is through, sshd's small packets meet Nagle's algorithm there and delayed acknowledgement
    here: 40 ms for nothing. Linux forgets the option after a while, hence with each arrival.
    """

    def __init__(self, session: asyncio.Protocol) -> None:
        self._session = session
        self._transport: asyncio.Transport | None = None
        self._sock: socket.socket | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._sock = transport.get_extra_info("socket")
        self._session.connection_made(Gathered(transport))

    def data_received(self, data: bytes) -> None:
        if self._sock is not None and hasattr(socket, "TCP_QUICKACK"):
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        self._session.data_received(data)

    def settle(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.set_protocol(self._session)

    def eof_received(self) -> bool | None:
        return self._session.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = self._sock = None
        self._session.connection_lost(exc)

    def pause_writing(self) -> None:
        self._session.pause_writing()

    def resume_writing(self) -> None:
        self._session.resume_writing()


class JumpWire(asyncssh.SSHTCPSession[bytes]):
    """A channel through a jump host, on whose far end the server has begun to speak.

    What arrives before asyncssh takes over is kept; after that everything is passed on.
    """

    def __init__(self, closed: Callable[[], None]) -> None:
        self._when_closed = closed
        self._channel: asyncssh.SSHTCPChannel[bytes] | None = None
        self._session: Any = None
        self._early: list[bytes] = []
        self._ended: Exception | None = None
        self._unwanted = False
        self._arrived = asyncio.Event()

    async def readable(self) -> None:
        """Wait until the server has sent something, or hung up."""
        await self._arrived.wait()

    async def create_connection(self, session_factory: SessionFactory, host: str, port: int) -> tuple[Any, Any]:
        """Let asyncssh take the channel over."""
        if self._channel is None:
            raise self._ended or asyncssh.ConnectionLost("Connection lost")
        self._session = session_factory()
        self._session.connection_made(self._channel)
        for data in self._early:
            self._session.data_received(data)
        self._early.clear()
        return self._channel, self._session

    def close(self) -> None:
        """Close the channel, now or when it opens, if nobody has taken it over."""
        self._unwanted = True
        if self._session is None and self._channel is not None:
            self._channel.abort()

    def settle(self) -> None:
        """Nothing to do: no socket of ours."""

    def connection_made(self, chan: asyncssh.SSHTCPChannel[bytes]) -> None:
        """The jump host has reached the server."""
        self._channel = chan
        if self._unwanted:
            chan.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is closed."""
        self._channel, self._ended = None, exc
        self._arrived.set()
        if self._session is not None:
            self._session.connection_lost(exc)
        self._when_closed()

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """The server has spoken."""
        if self._session is not None:
            self._session.data_received(data)
            return
        self._early.append(data)
        self._arrived.set()

    def eof_received(self) -> bool:
        """The server says no more."""
        self._arrived.set()
        if self._session is not None:
            self._session.eof_received()
        return False

    def pause_writing(self) -> None:
        """The channel takes no more for now."""
        if self._session is not None:
            self._session.pause_writing()

    def resume_writing(self) -> None:
        """The channel takes more again."""
        if self._session is not None:
            self._session.resume_writing()
