"""Looking at hosts."""

from __future__ import annotations

import asyncio
from dataclasses import replace

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


async def test_who_goes_by_an_earlier_config_does_not_forget_what_he_saw_when_others_look_by_the_new_one() -> None:
    edited = replace(NOBODY, tags=("edited",))
    async with Pool() as pool:
        board = Board(pool)
        board.view(NOBODY).jobs.add("j_1")
        for _ in range(3):
            await board.look(NOBODY)
            await board.look(edited)

    views = board.view(NOBODY), board.view(edited)
    assert [(view.failures, view.jobs) for view in views] == [(3, {"j_1"})] * 2
