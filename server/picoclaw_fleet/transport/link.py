"""The connection to one host, or the few where it takes few commands on each, and the one attempt to make another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError
from picoclaw_fleet.transport import faults
from picoclaw_fleet.transport.berths import Lane
from picoclaw_fleet.transport.connection import KEPT_FOR_PROMPT, MAX_CHANNELS, Connection


class Link:
    """Keeps what connects us to a host. However many ask at once, one attempt is made, and its outcome is everybody's.

    Args:
        connect: Makes a new one.
    """

    def __init__(self, connect: Callable[[Host], Coroutine[Any, Any, Connection]]) -> None:
        self._connect = connect
        self._connections: list[Connection] = []
        self._attempt: asyncio.Task[Connection] | None = None
        self._waiting = 0

    async def connection(self, host: Host, lane: Lane) -> Connection:
        """A connection with room for a command, or the one to wait for; a new one when there is none.

        Raises:
            HostError: The attempt failed, and no other connection has room soon.
        """
        while True:
            self._connections = [connection for connection in self._connections if connection.usable]
            for connection in self._connections:
                if connection.has_room(lane):
                    return connection
            if self._connections and not self._wants_another(lane):
                return self._shortest_queue(lane)
            try:
                connection = await self._join_attempt(host)
            except HostError:
                if not self._connections:
                    raise
                shortest = self._shortest_queue(lane)
                if lane is Lane.PROMPT and shortest.blocked:
                    # Room comes when a job ends. That the host can't be reached is known now.
                    raise
                return shortest
            if not connection.single or not connection.usable:
                return connection
            # Others waited too, and the first has taken the only place: look again.

    def close_when_idle(self) -> None:
        """The host is configured otherwise now: close the connections as soon as nothing runs on them."""
        for connection in self._connections:
            connection.close_when_idle()

    def close(self) -> None:
        """Give up connecting; whoever made the connections closes them and waits for their end."""
        self._give_up()

    def _wants_another(self, lane: Lane) -> bool:
        if len(self._connections) >= MAX_CHANNELS or not all(connection.narrow for connection in self._connections):
            return False
        if lane is Lane.PROMPT:
            return all(connection.single or connection.blocked for connection in self._connections)
        return sum(connection.occupied(Lane.WAIT) for connection in self._connections) < MAX_CHANNELS - KEPT_FOR_PROMPT

    def _shortest_queue(self, lane: Lane) -> Connection:
        def disadvantage(connection: Connection) -> tuple[bool, int]:
            # A command that may wait goes behind its like, and leaves the others to the quick ones.
            return connection.blocked != (lane is Lane.WAIT), connection.queued

        return min(self._connections, key=disadvantage)

    async def _join_attempt(self, host: Host) -> Connection:
        attempt = self._attempt or self._begin(host)
        self._waiting += 1
        try:
            await asyncio.wait({attempt})
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._give_up()
        if attempt.cancelled():
            raise faults.closed(host.name)
        return attempt.result()

    def _begin(self, host: Host) -> asyncio.Task[Connection]:
        self._attempt = asyncio.create_task(self._connect(host))
        self._attempt.add_done_callback(self._finished)
        return self._attempt

    def _give_up(self) -> None:
        if self._attempt is not None:
            self._attempt.cancel()
            self._attempt = None

    def _finished(self, attempt: asyncio.Task[Connection]) -> None:
        if self._attempt is attempt:
            self._attempt = None
        if not attempt.cancelled() and attempt.exception() is None:
            self._connections.append(attempt.result())
