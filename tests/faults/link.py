"""A link to a host that can be cut: a TCP proxy that drops, stalls, resets, refuses and delivers late."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

_PIECE = 16 << 10
_MOST_PIECES = 256
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(eq=False)
class _Connection:
    """One connection that passes through.

    Attributes:
        near: Its end at the controller.
        far: Its end at the host.
        flowing: Cleared while everything is held back.
        budget: How many bytes may still pass to the host before everything is held back; None for no limit.
    """

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    budget: int | None = None

    def passable(self, piece: bytes, writer: asyncio.StreamWriter) -> int:
        """How much of a piece may pass now; counts it."""
        if writer is self.near or self.budget is None:
            return len(piece)
        size = min(self.budget, len(piece))
        self.budget -= size
        if not self.budget:
            self.flowing.clear()
        return size


class Link:
    """Passes TCP connections on to a host. An async context manager.

    Args:
        address: The host's address.
        port: Its port.

    Attributes:
        port: Where it listens on 127.0.0.1.
        exhausted: Set when a connection has used up what `hold_after` let pass.
    """

    def __init__(self, address: str, port: int) -> None:
        self._target = (address, port)
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stalled = self._refusing = False
        self.exhausted = asyncio.Event()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stall(self) -> None:
        """Holds everything back, as a network does that loses every packet; it comes later."""
        self._stalled = True
        for connection in self._connections:
            connection.flowing.clear()

    def hold_after(self, size: int) -> None:
        """Holds back what the present connections carry once so many more bytes have passed to the host."""
        for connection in self._connections:
            connection.budget = size

    def refuse(self) -> None:
        """Closes new connections at once, as a host does whose SSH server is being restarted."""
        self._refusing = True

    def flow(self) -> None:
        """Lets everything pass, what was held back first."""
        self._stalled = self._refusing = False
        for connection in self._connections:
            connection.budget = None
            connection.flowing.set()

    def drop(self) -> None:
        """Ends all connections without a word; both sides see an end of file."""
        for connection in self._connections:
            connection.near.close()
            connection.far.close()

    def reset(self) -> None:
        """Resets all connections; what was held back is gone."""
        for connection in self._connections:
            _reset(connection.near)
            _reset(connection.far)

    def reset_near(self) -> None:
        """Resets all connections for the controller alone; what is held back still comes to the host."""
        for connection in self._connections:
            _reset(connection.near)

    async def _accept(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            if not self._refusing:
                await self._connect(reader, near)
        except OSError:
            pass
        finally:
            self._tasks.discard(task)
            near.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        far_reader, far = await asyncio.open_connection(*self._target)
        connection = _Connection(near, far)
        if not self._stalled:
            connection.flowing.set()
        self._connections.add(connection)
        try:
            await asyncio.gather(self._pass_on(reader, far, connection), self._pass_on(far_reader, near, connection))
        finally:
            self._connections.discard(connection)
            far.transport.abort()

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: _Connection
    ) -> None:
        pieces: asyncio.Queue[bytes] = asyncio.Queue(_MOST_PIECES)
        reading = asyncio.create_task(_read_into(pieces, reader))
        try:
            while piece := await pieces.get():
                while piece:
                    await connection.flowing.wait()
                    size = connection.passable(piece, writer)
                    writer.write(piece[:size])
                    piece = piece[size:]
                    if connection.budget == 0:
                        self.exhausted.set()
                    await writer.drain()
            writer.write_eof()
        except OSError:
            pass
        finally:
            reading.cancel()


async def _read_into(pieces: asyncio.Queue[bytes], reader: asyncio.StreamReader) -> None:
    """Reads to the end, whatever end that is."""
    with suppress(OSError):
        while piece := await reader.read(_PIECE):
            await pieces.put(piece)
    await pieces.put(b"")


def _reset(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket = writer.get_extra_info("socket")
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
