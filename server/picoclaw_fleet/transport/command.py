"""One command on a host: an exec channel with bytes in and out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import asyncssh

from picoclaw_fleet.transport import faults

STDERR_LIMIT = 8 << 10
_READ_AHEAD = 256 << 10
WRITE_PIECE = 128 << 10
"""Bytes that are handed to asyncssh at once."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A command that has ended.

    Attributes:
        stdout: All of its output.
        stderr: The first 8 KB of what it wrote to standard error.
        exit_status: 0 to 255; None when a signal ended it.
        exit_signal: The signal without SIG, such as KILL; None when it exited.
    """

    stdout: bytes
    stderr: bytes
    exit_status: int | None
    exit_signal: str | None


class Command(asyncssh.SSHClientSession[bytes]):
    """A command that runs on a host. `Pool.command` makes it; the methods further down are asyncssh's to call.

    Output is held back in the host while nobody reads: at most the window of 2 MB and 256 KB wait in memory.
    """

    def __init__(self, host: str, left: Callable[[], None], closed: Callable[[], None], stdin: bytes) -> None:
        self._host = host
        self._when_left = left
        self._when_closed = closed
        self._stdin = stdin
        self._abandoned = False
        self._connected = False
        self._requested = False
        self._channel: asyncssh.SSHClientChannel[bytes] | None = None
        self._output: deque[bytes] = deque()
        self._waiting = 0
        self._ended = False
        self._paused = False
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._stderr = bytearray()
        self._status: int | None = None
        self._signal: str | None = None
        self._closed = asyncio.Event()
        self._cause: Exception | None = None

    async def write(self, data: bytes) -> None:
        """Send `data` to standard input, no faster than the host takes it.

        A command that has ended by itself takes no more: the rest is dropped, and its output and exit status tell.

        Raises:
            HostError: lost_contact when the channel is gone and it isn't known how the command ended.
        """
        for start in range(0, len(data), WRITE_PIECE):
            await self._writable.wait()
            channel = self._channel
            if channel is None or channel.is_closing():
                self.check()
                return
            channel.write(data[start : start + WRITE_PIECE])  # pyright: ignore[reportUnknownMemberType]
        await self._writable.wait()

    def write_eof(self) -> None:
        """End standard input. Nothing happens when the command has ended already."""
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write_eof()

    async def read(self, limit: int) -> bytes:
        """The next bytes of standard output.

        Args:
            limit: The most to return.

        Returns:
            1 to `limit` bytes, b"" at the end. The end does not say how the command ended, not even whether it did: see
            `exit_status` after `wait_closed`, or `check`.
        """
        while not self._output:
            if self._ended:
                return b""
            self._arrived.clear()
            await self._arrived.wait()
        piece = self._output.popleft()
        if len(piece) > limit:
            self._output.appendleft(piece[limit:])
            piece = piece[:limit]
        self._waiting -= len(piece)
        if self._paused and self._waiting < _READ_AHEAD // 2 and self._channel is not None:
            self._paused = False
            self._channel.resume_reading()
        return piece

    async def wait_closed(self) -> None:
        """Wait until the command has ended and its channel is closed. Read its output to the end first."""
        await self._closed.wait()

    def abandon(self) -> None:
        """Close the channel whatever the command does: it is not told, and may go on. Not yet started, it won't be."""
        self._abandoned = True
        if self._channel is not None:
            self._channel.abort()
        if not self.closed:
            self._when_left()

    def check(self) -> None:
        """Make sure that it is known how the command ended.

        Raises:
            HostError: lost_contact when the channel went away without an exit status or a signal.
        """
        if self._closed.is_set() and self._status is None and self._signal is None:
            raise faults.lost(self._host, self._cause)

    @property
    def requested(self) -> bool:
        """True once the command may have been requested: from then on it may run."""
        return self._requested

    @property
    def opened(self) -> bool:
        """True once there was a channel, even one that was closed at once."""
        return self._connected

    @property
    def turned_away(self) -> bool:
        """True when the host opened a channel and closed it before it could be asked for anything."""
        return self._connected and not self._requested

    @property
    def closed(self) -> bool:
        """True once the channel is closed."""
        return self._closed.is_set()

    @property
    def stderr(self) -> bytes:
        """The first 8 KB of standard error so far; the rest is dropped."""
        return bytes(self._stderr)

    @property
    def exit_status(self) -> int | None:
        """0 to 255; None until the channel is closed, and for good after a signal or when contact was lost."""
        return self._status if self._closed.is_set() else None

    @property
    def exit_signal(self) -> str | None:
        """The signal that ended the command, without SIG; None otherwise."""
        return self._signal if self._closed.is_set() else None

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """The channel is open, and asyncssh about to request the command, unless the channel is closed again now."""
        self._channel = chan
        self._connected = True
        if self._abandoned:
            chan.abort()
        # A channel that the host has closed already doesn't take the request any more.
        self._requested = not chan.is_closing()
        if self._stdin:
            # Behind the request, as soon as the host takes it: Dropbear at once, OpenSSH when the command runs.
            asyncio.get_running_loop().call_soon(self._begin_stdin)

    def _begin_stdin(self) -> None:
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write(self._stdin)  # pyright: ignore[reportUnknownMemberType]

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """Output has arrived."""
        if datatype is not None:
            self._stderr += data[: STDERR_LIMIT - len(self._stderr)]
            return
        self._output.append(data)
        self._waiting += len(data)
        self._arrived.set()
        if self._waiting > _READ_AHEAD and not self._paused and self._channel is not None:
            self._paused = True
            self._channel.pause_reading()

    def eof_received(self) -> bool:
        """Standard output and error have ended. True keeps standard input open."""
        self._ended = True
        self._arrived.set()
        return True

    def exit_status_received(self, status: int) -> None:
        """The command has exited."""
        self._status = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        """A signal has ended the command."""
        self._signal = signal

    def pause_writing(self) -> None:
        """The host takes no more input for now."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The host takes input again."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is closed, in order or not."""
        self._channel, self._cause, self._ended = None, exc, True
        self._closed.set()
        self._arrived.set()
        self._writable.set()
        self._when_closed()
