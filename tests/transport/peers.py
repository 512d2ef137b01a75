"""Peers that are no SSH servers: deaf, mute or rude."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace

from tests.servers import NOBODY

from picoclaw_fleet.config.inventory import Host


class Mute:
    """Accepts connections and never says a word."""

    def __init__(self) -> None:
        self.accepted = asyncio.Semaphore(0)
        self._port = 0

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[Mute]:
        async with AsyncExitStack() as until:
            server = await asyncio.start_server(self._ignore, "127.0.0.1", 0)
            until.push_async_callback(server.wait_closed)
            until.callback(server.close)
            self._port = server.sockets[0].getsockname()[1]
            yield self

    def host(self, name: str = "mute", *, connect_timeout: float = 30) -> Host:
        return replace(NOBODY, name=name, port=self._port, connect_timeout=connect_timeout)

    async def _ignore(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted.release()
        await reader.read()
        writer.close()


@asynccontextmanager
async def saying(words: bytes) -> AsyncGenerator[Host]:
    """A host that says `words` and hangs up."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        yield replace(NOBODY, name="rude", port=server.sockets[0].getsockname()[1])


@contextmanager
def black_hole() -> Generator[Host]:
    """A host whose kernel drops what would open a connection: its queue is full and nobody empties it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield replace(NOBODY, name="hole", port=listener.getsockname()[1])
        for filler in fillers:
            filler.close()
