"""The one connection to one host, and the one attempt to make it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from . import faults
from .access import Identity
from .connection import Connection


class Link:
    """Keeps a host's connection. However many ask at once, one attempt is made, and its outcome is everybody's.

    Args:
        identity: What the connection depends on.
        connect: Makes a new one.
    """

    def __init__(self, identity: Identity, connect: Callable[[], Coroutine[Any, Any, Connection]]) -> None:
        self.identity = identity
        self._connect = connect
        self._attempt: asyncio.Task[Connection] | None = None
        self._waiting = 0
        self._current: Connection | None = None
        self._retired = False

    async def connection(self, host: str) -> Connection:
        """The connection as it is, or a new one.

        Raises:
            HostError: The attempt failed.
        """
        if self._current is not None and self._current.usable:
            return self._current
        attempt = self._attempt or self._begin()
        self._waiting += 1
        try:
            await asyncio.wait({attempt})
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._give_up()
        if attempt.cancelled():
            raise faults.closed(host)
        return attempt.result()

    def retire(self) -> None:
        """The host is configured otherwise now: close the connection as soon as nothing runs on it."""
        self._retired = True
        if self._current is not None:
            self._current.retire()

    def close(self) -> None:
        """Give up connecting."""
        self.retire()
        self._give_up()

    def _begin(self) -> asyncio.Task[Connection]:
        self._attempt = asyncio.create_task(self._connect())
        self._attempt.add_done_callback(self._finished)
        return self._attempt

    def _give_up(self) -> None:
        if self._attempt is not None:
            self._attempt.cancel()
            self._attempt = None

    def _finished(self, attempt: asyncio.Task[Connection]) -> None:
        if self._attempt is attempt:
            self._attempt = None
        if attempt.cancelled() or attempt.exception() is not None:
            return
        self._current = attempt.result()
        if self._retired:
            self._current.retire()
