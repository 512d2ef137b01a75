"""Progress: telling who waits that there is something to wait for."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

from picoclaw_fleet.errors import FleetError

PROGRESS_SECONDS = 5.0
"""How often it is told: clients with a watchdog want it at least every 10 s."""

Progress = Callable[[float, str], Awaitable[None]]
"""Is told the seconds elapsed, which rise from call to call, and how far the work has come."""


@asynccontextmanager
async def reporting(progress: Progress | None, describe: Callable[[], str]) -> AsyncGenerator[None]:
    """Reports every few seconds for as long as the block takes.

    Args:
        progress: Whom to tell; None for nobody.
        describe: Says how far the work has come.
    """
    if progress is None:
        yield
        return
    since = time.monotonic()

    async def report_now_and_then() -> None:
        while True:
            await anyio.sleep(PROGRESS_SECONDS)
            await progress(round(time.monotonic() - since, 1), describe())

    failure: FleetError | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(report_now_and_then)
        try:
            yield
        except FleetError as error:
            # The task group would make a group of it, which no caller expects.
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure
