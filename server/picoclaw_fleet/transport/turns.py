"""Whose turn it is to begin.

To let two hundred hosts begin at once gains nothing: they only keep each other, and us, from getting on, and the first
answer comes with the last.
"""

from __future__ import annotations

import asyncio

from picoclaw_fleet.transport.berths import Berth

AT_FIRST = 4
LONGEST_SECONDS = 0.25
"""Who takes longer is far away, or does not speak, and has lost his turn: the others go on."""


class Turns:
    """Lets a few hosts begin, and two more for each that has begun, in the order of asking.

    So the first get on undisturbed, and yet a thousand that are far away have all begun within 2 s.

    Args:
        at_first: How many begin.
        longest: After how many seconds a turn is over in any case.
    """

    def __init__(self, at_first: int = AT_FIRST, longest: float = LONGEST_SECONDS) -> None:
        self._at_first = at_first
        self._longest = longest
        self._places = asyncio.Semaphore(at_first)
        self._beginning = 0

    async def take(self) -> Berth:
        """Wait for a turn. It lasts until it is released."""
        # Who was let in may not have got here yet, and others wait behind him.
        if not self._beginning and not self._places.locked():
            self._places = asyncio.Semaphore(self._at_first)
        await self._places.acquire()
        self._beginning += 1
        turn = Berth(self._over)
        asyncio.get_running_loop().call_later(self._longest, turn.release)
        return turn

    def _over(self) -> None:
        self._beginning -= 1
        for _ in range(2):
            self._places.release()
