"""Taking turns to begin."""

from __future__ import annotations

import asyncio

import anyio
import anyio.lowlevel

from picoclaw_fleet.transport.turns import Turns

SECONDS = 10


async def test_the_next_begins_when_one_has_begun_or_given_up() -> None:
    turns = Turns(2, longest=60)
    first, second = await turns.take(), await turns.take()
    third, fourth = asyncio.create_task(turns.take()), asyncio.create_task(turns.take())
    await anyio.lowlevel.checkpoint()
    assert not third.done()

    first.release()
    first.release()
    with anyio.fail_after(SECONDS):
        await third
    assert not fourth.done()

    second.release()
    with anyio.fail_after(SECONDS):
        await fourth


async def test_who_takes_long_to_begin_keeps_nobody_waiting() -> None:
    turns = Turns(1, longest=0.01)
    with anyio.fail_after(SECONDS):
        for _ in range(3):
            await turns.take()
