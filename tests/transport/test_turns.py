"""Taking turns to begin."""

from __future__ import annotations

import asyncio

import anyio

from picoclaw_fleet.transport.berths import Berth
from picoclaw_fleet.transport.turns import Turns

SECONDS = 10


async def test_two_begin_when_one_has_begun_or_given_up() -> None:
    turns = Turns(2, longest=60)
    first, second = await turns.take(), await turns.take()
    others = [asyncio.create_task(turns.take()) for _ in range(5)]
    assert await begun(others) == 0

    first.release()
    first.release()
    assert await begun(others) == 2

    second.release()
    assert await begun(others) == 4
    others[4].cancel()


async def test_when_all_have_begun_a_few_begin_again() -> None:
    turns = Turns(1, longest=60)
    with anyio.fail_after(SECONDS):
        for _ in range(5):
            (await turns.take()).release()
    others = [asyncio.create_task(turns.take()) for _ in range(3)]
    assert await begun(others) == 1
    others[1].cancel()
    others[2].cancel()


async def test_who_comes_at_the_moment_when_all_have_begun_takes_nobody_s_turn() -> None:
    turns = Turns(1, longest=60)
    first = await turns.take()
    others = [asyncio.create_task(turns.take()) for _ in range(5)]
    assert await begun(others) == 0

    others.append(asyncio.create_task(turns.take()))
    first.release()
    with anyio.fail_after(SECONDS):
        for task in others:
            (await task).release()


async def test_who_takes_long_to_begin_keeps_nobody_waiting() -> None:
    turns = Turns(1, longest=0.01)
    with anyio.fail_after(SECONDS):
        for _ in range(3):
            await turns.take()


async def begun(waiting: list[asyncio.Task[Berth]]) -> int:
    """How many have a turn, once everybody who may go on has done so."""
    await anyio.wait_all_tasks_blocked()
    return sum(task.done() for task in waiting)
