"""Work that concurrent callers share instead of each doing it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio

from picoclaw_fleet.errors import FleetError

T = TypeVar("T")


class Flight(Generic[T]):
    """One caller works; those who come meanwhile wait and get what it got: its result or its FleetError.

    When the working caller is cancelled, the next one in line starts over, so no work outlives those who want it.
    """

    def __init__(self) -> None:
        self._lock = anyio.Lock()
        self._landings = 0
        self._result: T
        self._error: FleetError | None = None

    async def join(self, work: Callable[[], Awaitable[T]]) -> T:
        """The outcome of the work that is under way, else of `work`.

        Raises:
            FleetError: What the work raised.
        """
        landings = self._landings
        async with self._lock:
            if self._landings == landings:
                await self._fly(work)
            if self._error is not None:
                raise self._error
            return self._result

    async def _fly(self, work: Callable[[], Awaitable[T]]) -> None:
        try:
            self._result = await work()
            self._error = None
        except FleetError as error:
            self._error = error
        self._landings += 1
