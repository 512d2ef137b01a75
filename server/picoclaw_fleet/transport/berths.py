"""Room for channels on one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum


class Lane(Enum):
    """What a channel is for."""

    PROMPT = "prompt"
    """Over in a moment: a probe, a cancel."""
    WAIT = "wait"
    """May wait for a job: two places are kept free of these, so that a probe gets through."""


class NoBerthError(Exception):
    """There is less room than was thought when it was asked for, or none any more."""


class Berth:
    """Room for one channel, until it is released."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release: Callable[[], None] | None = release

    def release(self) -> None:
        """Give the room back; doing so again means nothing."""
        if self._release is not None:
            release, self._release = self._release, None
            release()


class Berths:
    """Hands out room for channels, in the order of asking within a lane.

    Args:
        limit: How many channels there may be.
        kept: How many of them are not for Lane.WAIT.
        changed: Called when a berth was taken or given back.
    """

    def __init__(self, limit: int, kept: int, changed: Callable[[], None]) -> None:
        self._limit = limit
        self._kept = kept
        self._changed = changed
        self._taken = dict.fromkeys(Lane, 0)
        self._queue: list[tuple[Lane, asyncio.Future[Berth]]] = []
        self._shut = False

    @property
    def limit(self) -> int:
        """How many there may be, as far as is known."""
        return self._limit

    @property
    def taken(self) -> int:
        """How many berths are taken."""
        return sum(self._taken.values())

    @property
    def queued(self) -> int:
        """How many wait for one."""
        return len(self._queue)

    def occupied(self, lane: Lane) -> int:
        """How many berths a lane has taken."""
        return self._taken[lane]

    def has_room(self, lane: Lane) -> bool:
        """True when a berth would be had at once."""
        for_lane = self._limit if lane is Lane.PROMPT else max(1, self._limit - self._kept)
        return not self._shut and self.taken < self._limit and self._taken[lane] < for_lane

    async def take(self, lane: Lane) -> Berth:
        """Wait for room.

        Raises:
            NoBerthError: There won't be any here, or look elsewhere first.
        """
        if self._shut:
            raise NoBerthError
        granted: asyncio.Future[Berth] = asyncio.get_running_loop().create_future()
        self._queue.append((lane, granted))
        self._grant()
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                granted.result().release()
            raise
        finally:
            self._queue = [entry for entry in self._queue if entry[1] is not granted]

    def lower(self, limit: int) -> None:
        """There is less room than was thought. Who waits for it is turned away, to look for room anew."""
        if limit < self._limit:
            self._limit = limit
            self._turn_away()

    def shut(self) -> None:
        """Hand out no more, and turn away who waits. What is taken stays taken."""
        self._shut = True
        self._turn_away()

    def _turn_away(self) -> None:
        for _, granted in self._queue:
            if not granted.done():
                granted.set_exception(NoBerthError())

    def _grant(self) -> None:
        for lane, granted in self._queue:
            if not granted.done() and self.has_room(lane):
                self._taken[lane] += 1
                granted.set_result(Berth(lambda lane=lane: self._give_back(lane)))
                self._changed()

    def _give_back(self, lane: Lane) -> None:
        self._taken[lane] -= 1
        self._grant()
        self._changed()
