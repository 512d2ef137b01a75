"""One SSH connection to a host: its channels, and when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, cast

import asyncssh

from picoclaw_fleet.errors import HostError
from picoclaw_fleet.transport import faults
from picoclaw_fleet.transport.berths import Berth, Berths, Lane, NoBerthError
from picoclaw_fleet.transport.command import Command
from picoclaw_fleet.transport.wire import JumpWire

MAX_CHANNELS = 8
"""sshd's MaxSessions is 10 unless set, and counts sessions for a moment longer than we do."""
KEPT_FOR_PROMPT = 2
MOST_TURNED_AWAY = 8
"""How often a command is tried whose channel the host closes before it is requested."""
WINDOW = 2 << 20
"""Bytes a host may send before we read them: enough for 19 MB/s at 50 ms, and little enough to hold in memory."""


class ConnectionSpentError(Exception):
    """No command can be started on this connection and none was requested: another connection may do.

    Args:
        fault: What to tell if another one doesn't either.
    """

    def __init__(self, fault: HostError) -> None:
        super().__init__(str(fault))
        self.fault = fault


class NoRoomError(Exception):
    """The host takes fewer channels than was thought, and nothing was requested: who asked is to look for room anew."""


class Connection:
    """An SSH connection that is up.

    Args:
        host: The host's name in the fleet config.
        ssh: The connection, authenticated.
        single: The server can't have two commands on one connection.
        idle_timeout: Seconds without a channel after which it closes.
        open_timeout: Seconds that the host may take to open a channel.
        settled: Called when the first command was accepted.
    """

    def __init__(
        self,
        host: str,
        ssh: asyncssh.SSHClientConnection,
        *,
        single: bool,
        idle_timeout: float,
        open_timeout: float,
        settled: Callable[[], None] | None,
    ) -> None:
        self._host = host
        self._ssh = ssh
        self._idle_timeout = idle_timeout
        self._open_timeout = open_timeout
        self._settled = settled
        self._berths = Berths(1 if single else MAX_CHANNELS, KEPT_FOR_PROMPT, self._watch_idle)
        self._left: set[Berth] = set()
        self._leaving: asyncio.TimerHandle | None = None
        self._closings = 0
        self._tunnels = 0
        self._idle: asyncio.TimerHandle | None = None
        self._retired = False
        self._fault: HostError | None = None
        self._to_tell: list[Callable[[], None]] = []
        self._watch_idle()

    @property
    def usable(self) -> bool:
        """False once the connection is broken, closed or retired."""
        return not self._retired and not self._ssh.is_closed()

    @property
    def single(self) -> bool:
        """True when there can't be two commands here."""
        return self._berths.limit == 1

    @property
    def narrow(self) -> bool:
        """True when the host takes fewer commands on one connection than we would have there."""
        return self._berths.limit < MAX_CHANNELS

    @property
    def blocked(self) -> bool:
        """True when all places are held by commands that may wait for a job."""
        return self._berths.occupied(Lane.WAIT) >= self._berths.limit

    @property
    def queued(self) -> int:
        """How many commands wait for room here."""
        return self._berths.queued

    def occupied(self, lane: Lane) -> int:
        """How many channels a lane has here."""
        return self._berths.occupied(lane)

    def has_room(self, lane: Lane) -> bool:
        """True when a command would be started at once."""
        return self._berths.has_room(lane)

    def retire(self, fault: HostError | None = None) -> None:
        """Start nothing new here, and close when the last channel is gone.

        Args:
            fault: Why, for those who wait for room.
        """
        self._retired = True
        self._fault = fault
        self._berths.shut()
        self._watch_idle()

    def close_when_idle(self) -> None:
        """Close as soon as nothing runs here and nobody waits."""
        self._idle_timeout = 0
        self._watch_idle()

    def broken(self) -> None:
        """The connection is gone. Called by whoever hears of it."""
        self._retired = True
        self._berths.shut()
        self._cancel_idle()
        for tell in self._to_tell:
            tell()
        self._to_tell.clear()

    def when_broken(self, tell: Callable[[], None]) -> None:
        """Have `tell` called once the connection is gone, at once if it is."""
        if self._ssh.is_closed():
            tell()
        else:
            self._to_tell.append(tell)

    async def aclose(self) -> None:
        """Close now; what runs here loses contact."""
        self.retire()
        self._cancel_idle()
        self._ssh.close()
        await self._ssh.wait_closed()

    async def start(self, command: str, lane: Lane, stdin: bytes) -> Command:
        """Request a command, as soon as there is room for its channel, and send it what its input begins with.

        Raises:
            ConnectionSpentError: Nothing was requested, and nothing will be on this connection.
            NoRoomError: Nothing was requested.
            HostError: protocol_error when the host refuses the command; lost_contact when the connection broke after it
                was requested.
        """
        turned_away = 0
        while True:
            try:
                berth = await self._berths.take(lane)
            except NoBerthError:
                if self.usable:
                    raise NoRoomError from None
                raise ConnectionSpentError(self._fault or faults.gone_before(self._host, None)) from None
            running = Command(
                self._host,
                left=lambda berth=berth: self._leave(berth),
                closed=lambda berth=berth: self._closed(berth),
                stdin=stdin,
            )
            try:
                await self._request(running, command, berth)
            except asyncssh.ChannelOpenError as error:
                if running.requested:
                    raise self._not_started(running, error) from error
                if running.turned_away and turned_away < MOST_TURNED_AWAY:
                    turned_away += 1
                    continue
                others = self._berths.taken - 1
                # The host's limit is below ours: stay with what it has accepted.
                self._berths.lower(max(1, others))
                berth.release()
                if not others:
                    raise ConnectionSpentError(faults.refused(self._host, error)) from error
                raise NoRoomError from error
            if self._settled is not None:
                self._settled()
                self._settled = None
            return running

    def _not_started(self, running: Command, error: asyncssh.ChannelOpenError) -> HostError:
        """Requested and not confirmed: refused in so many words, or else nothing is known."""
        return faults.lost(self._host, error) if running.closed else faults.refused(self._host, error)

    async def tunnel(self, address: str, port: int) -> JumpWire:
        """Connect to a server through this host.

        Raises:
            asyncssh.ChannelOpenError: This host can't, or may not, connect to there.
            ConnectionSpentError: Its connection turns out to be broken.
        """
        self._tunnels += 1
        self._watch_idle()
        berth = Berth(self._tunnel_closed)
        wire = JumpWire(closed=berth.release)
        opening = self._ssh.create_connection(lambda: wire, address, port)
        try:
            await _opened(opening, abandon=wire.close, failed=berth.release)
        except (asyncssh.Error, OSError) as error:
            berth.release()
            if faults.gone(error):
                raise ConnectionSpentError(faults.gone_before(self._host, error)) from error
            raise
        return wire

    def _tunnel_closed(self) -> None:
        self._tunnels -= 1
        self._watch_idle()

    def _leave(self, berth: Berth) -> None:
        self._left.add(berth)
        self._watch_left()

    def _watch_left(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
        self._leaving = asyncio.get_running_loop().call_later(self._open_timeout, self._give_up_left)

    def _give_up_left(self) -> None:
        """Close, when there is no room and all that takes it is commands that were left and don't end.

        sshd keeps a channel until its command has ended, and one that hangs in the kernel never does.
        """
        if not self._left:
            return
        if len(self._left) < self._berths.taken or self._tunnels or all(self.has_room(lane) for lane in Lane):
            self._watch_left()
            return
        self.retire(faults.silent(self._host, self._open_timeout))
        self._ssh.close()

    def _closed(self, berth: Berth) -> None:
        self._left.discard(berth)
        self._closings += 1
        berth.release()

    async def _request(self, running: Command, command: str, berth: Berth) -> None:
        """Open a channel and request the command. While the connection is up, a ChannelOpenError is the caller's.

        sshd reads what has arrived and only then counts what was closed: a channel that it refuses says nothing of its
        limit, unless none has closed since it was asked the time before.
        """
        closings = 0
        while True:
            before, closings = closings, self._closings
            try:
                return await self._request_once(running, command, berth)
            except asyncssh.ChannelOpenError:
                if running.opened or closings == before:
                    raise

    async def _request_once(self, running: Command, command: str, berth: Berth) -> None:
        create_session = cast("Callable[..., Coroutine[Any, Any, object]]", self._ssh.create_session)  # pyright: ignore[reportUnknownMemberType]
        opening = create_session(lambda: running, command, encoding=None, window=WINDOW, request_pty=False)

        def failed() -> None:
            """A channel that was opened keeps its place until the host has closed it, too."""
            if not running.opened:
                self._left.discard(berth)
                berth.release()

        try:
            await _opened(
                opening,
                abandon=running.abandon,
                failed=failed,
                timeout=self._open_timeout,
                # Once a command is requested it may run, whatever we do.
                too_late_to_give_up=lambda: running.requested,
            )
        except TimeoutError:
            raise ConnectionSpentError(faults.silent(self._host, self._open_timeout)) from None
        except (asyncssh.Error, OSError) as error:
            if isinstance(error, asyncssh.ChannelOpenError) and not self._ssh.is_closed() and not faults.gone(error):
                raise
            if running.requested:
                raise faults.lost(self._host, error) from error
            berth.release()
            raise ConnectionSpentError(faults.gone_before(self._host, error)) from error

    def _watch_idle(self) -> None:
        self._cancel_idle()
        if self._berths.taken or self._tunnels or self._ssh.is_closed():
            return
        if self._retired:
            self._ssh.close()
        else:
            self._idle = asyncio.get_running_loop().call_later(self._idle_timeout, self.retire)

    def _cancel_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None


async def _opened(
    opening: Coroutine[Any, Any, object],
    *,
    abandon: Callable[[], None],
    failed: Callable[[], None],
    timeout: float | None = None,
    too_late_to_give_up: Callable[[], bool] = lambda: False,
) -> None:
    """Wait for a channel to be opened.

    asyncssh forgets a channel whose opening is cancelled, and it stays open on the server. So the opening goes on when
    we are cancelled or give up, and `abandon` sees to it that the channel is closed as soon as it is there. If it never
    is, `failed` is called.

    Raises:
        TimeoutError: It was not open after `timeout` seconds, and not too late to give up.
    """
    task = asyncio.create_task(opening)
    try:
        await asyncio.wait({task}, timeout=timeout)
        if not task.done():
            if not too_late_to_give_up():
                raise TimeoutError
            await asyncio.wait({task})
    except (asyncio.CancelledError, TimeoutError):
        abandon()
        task.add_done_callback(lambda done: failed() if done.cancelled() or done.exception() else None)
        raise
    task.result()
