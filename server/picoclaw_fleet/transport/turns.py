"""Whose turn it is to begin.

To let two hundred hosts begin at once gains nothing: they only keep each other, and us, from getting on, and the first
answer comes with the last.
"""

from __future__ import annotations

import asyncio

from picoclaw_fleet.transport.berths import Berth

AT_ONCE = 16
LONGEST_SECONDS = 0.25
"""Who takes longer is far away, or does not speak, and has lost his turn: the others go on."""


class Turns:
    """Lets a few hosts begin at a time, in the order of asking.

    Args:
        at_once: How many.
        longest: After how many seconds a turn is over in any case.
    """

    def __init__(self, at_once: int = AT_ONCE, longest: float = LONGEST_SECONDS) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._longest = longest

    async def take(self) -> Berth:
        """Wait for a turn. It lasts until it is released."""
        await self._places.acquire()
        turn = Berth(self._places.release)
        asyncio.get_running_loop().call_later(self._longest, turn.release)
        return turn
