from __future__ import annotations

import asyncio

import pytest

from picoclaw_fleet.transport.berths import Berths, Lane, NoBerthError


def berths(limit: int = 8, kept: int = 2) -> Berths:
    return Berths(limit, kept, lambda: None)


async def test_two_of_eight_are_kept_from_those_that_may_wait() -> None:
    room = berths()
    for _ in range(6):
        await room.take(Lane.WAIT)

    assert not room.has_room(Lane.WAIT)
    await room.take(Lane.PROMPT)
    await room.take(Lane.PROMPT)
    assert not room.has_room(Lane.PROMPT)


async def test_a_limit_of_one_is_open_to_either_lane() -> None:
    for lane in Lane:
        room = berths(limit=1)
        await room.take(lane)
        assert not room.has_room(Lane.WAIT)
        assert not room.has_room(Lane.PROMPT)


async def test_who_asks_first_is_served_first_and_a_prompt_one_passes_by_those_that_have_to_wait() -> None:
    room = berths(limit=3)
    held = [await room.take(Lane.WAIT), await room.take(Lane.PROMPT), await room.take(Lane.PROMPT)]
    served: list[str] = []

    async def queue(name: str, lane: Lane) -> None:
        await room.take(lane)
        served.append(name)

    tasks = [asyncio.create_task(queue(*who)) for who in (("w1", Lane.WAIT), ("p1", Lane.PROMPT), ("p2", Lane.PROMPT))]
    await asyncio.sleep(0)
    held[1].release()
    await asyncio.wait({tasks[1]})
    assert served == ["p1"]
    held[0].release()
    await asyncio.wait({tasks[0]})
    assert served == ["p1", "w1"]
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_whoever_is_cancelled_gives_back_what_was_granted_in_the_same_moment() -> None:
    room = berths(limit=1)
    held = await room.take(Lane.PROMPT)
    waiting = asyncio.create_task(room.take(Lane.PROMPT))
    await asyncio.sleep(0)
    held.release()
    waiting.cancel()
    await asyncio.wait({waiting})

    assert waiting.cancelled()
    assert (room.taken, room.queued) == (0, 0)


async def test_a_berth_is_given_back_once() -> None:
    room = berths()
    berth, _ = await room.take(Lane.PROMPT), await room.take(Lane.PROMPT)
    berth.release()
    berth.release()

    assert room.taken == 1


async def test_shutting_turns_away_who_waits_and_who_comes() -> None:
    room = berths(limit=1)
    await room.take(Lane.PROMPT)
    waiting = asyncio.create_task(room.take(Lane.PROMPT))
    await asyncio.sleep(0)
    room.shut()

    with pytest.raises(NoBerthError):
        await waiting
    with pytest.raises(NoBerthError):
        await room.take(Lane.PROMPT)
    assert room.taken == 1
