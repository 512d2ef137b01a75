"""What asyncssh writes in one go leaves in one go."""

from __future__ import annotations

import asyncio

from picoclaw_fleet.transport.gathered import Gathered


class Recording(asyncio.Transport):
    """Remembers what it is told."""

    def __init__(self) -> None:
        super().__init__({"peername": "somebody"})
        self.told: list[object] = []

    def write(self, data: object) -> None:
        self.told.append(data)

    def abort(self) -> None:
        self.told.append("abort")


async def test_what_is_written_in_one_turn_of_the_loop_is_sent_in_one_piece_and_in_order() -> None:
    below = Recording()
    gathered = Gathered(below)

    for word in (b"one ", b"two ", b"three"):
        gathered.write(word)
    assert below.told == []
    await asyncio.sleep(0)
    gathered.write(b"four")
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert below.told == [b"one two three", b"four"]


async def test_last_words_go_out_before_a_connection_is_closed_the_way_asyncssh_does_it() -> None:
    below = Recording()
    gathered = Gathered(below)

    gathered.write(b"farewell")
    asyncio.get_running_loop().call_soon(gathered.abort)
    await asyncio.sleep(0)

    assert below.told == [b"farewell", "abort"]
    assert gathered.get_extra_info("peername") == "somebody"
