"""Looking at hosts."""

from __future__ import annotations

import asyncio

from tests.servers import NOBODY

from picoclaw_fleet.jobs.board import Board
from picoclaw_fleet.transport import Pool


async def test_those_who_look_at_once_share_a_failure() -> None:
    async with Pool() as pool:
        board = Board(pool)
        views = await asyncio.gather(*(board.look(NOBODY) for _ in range(10)))

    assert {view.failures for view in views} == {1}


async def test_who_looks_after_a_failure_looks_himself() -> None:
    async with Pool() as pool:
        board = Board(pool)
        await board.look(NOBODY)
        view = await board.look(NOBODY)

    assert view.failures == 2
