"""One command and its streams, on a real sshd."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from typing import Any, cast

import anyio
import pytest
from tests.servers import ClientKey, OpenSshServer

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.transport import Command, Pool

MEGABYTE = 1 << 20


@pytest.fixture
async def host(server: OpenSshServer, key: ClientKey) -> AsyncGenerator[Host]:
    with anyio.fail_after(50):
        yield server.host(ssh_key=key.path)


async def test_words_go_to_and_fro_while_the_command_runs(pool: Pool, host: Host) -> None:
    async with pool.command(host, 'while read word; do echo "got $word"; done; echo over') as command:
        for word in (b"one", b"two"):
            await command.write(word + b"\n")
            assert await command.read(100) == b"got " + word + b"\n"
        assert command.exit_status is None
        command.write_eof()
        assert await read_all(command) == b"over\n"
        await command.wait_closed()

        assert command.exit_status == 0
        command.check()


async def test_a_read_returns_no_more_than_asked_for_and_loses_nothing(pool: Pool, host: Host) -> None:
    async with pool.command(host, "printf 0123456789") as command:
        pieces = [await command.read(4) for _ in range(4)]

    assert pieces == [b"0123", b"4567", b"89", b""]


async def test_two_hundred_megabytes_pass_through_in_little_memory(pool: Pool, host: Host) -> None:
    await drain(pool, host, 10 * MEGABYTE)
    before = resident_bytes()

    passed, most = await drain(pool, host, 200 * MEGABYTE)

    assert passed == 200 * MEGABYTE
    assert most - before < 20 * MEGABYTE


async def test_output_that_nobody_reads_waits_on_the_host_and_is_all_there_later(pool: Pool, host: Host) -> None:
    async with pool.command(host, f"head -c {8 * MEGABYTE} /dev/zero; echo done >&2") as command:
        # Other commands share the connection and are not held up.
        for _ in range(5):
            assert (await pool.run(host, "echo quick")).stdout == b"quick\n"
        assert command.stderr == b""

        assert len(await read_all(command)) == 8 * MEGABYTE
        assert command.stderr == b"done\n"


async def test_much_input_passes_to_a_command_that_reads_slowly(pool: Pool, host: Host) -> None:
    data = os.urandom(20 * MEGABYTE)

    done = await pool.run(host, "sleep 0.2; cksum", stdin=data)

    assert done.stdout.split()[1] == str(len(data)).encode()


async def test_what_input_begins_with_comes_before_what_is_written(pool: Pool, host: Host) -> None:
    async with pool.command(host, "cat", stdin=b"first, ") as command:
        await command.write(b"second")
        command.write_eof()

        assert await read_all(command) == b"first, second"


async def test_what_input_begins_with_waits_for_no_word_from_the_host() -> None:
    channel = Channel()
    command = Command("somewhere", left=lambda: None, closed=lambda: None, stdin=b"first")

    command.connection_made(cast("Any", channel))
    assert channel.written == []  # asyncssh requests the command when this returns
    await asyncio.sleep(0)

    assert channel.written == [b"first"]


class Channel:
    """As much of asyncssh's channel as is used while a command is requested."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.written.append(data)


async def test_input_for_a_command_that_has_ended_is_dropped_and_its_answer_stays(pool: Pool, host: Host) -> None:
    done = await pool.run(host, "echo no thanks; exit 7", stdin=bytes(20 * MEGABYTE))

    assert (done.stdout, done.exit_status) == (b"no thanks\n", 7)


async def test_writing_to_a_command_that_never_reads_ends_when_the_command_does(pool: Pool, host: Host) -> None:
    async with pool.command(host, "sleep 0.3") as command:
        while command.exit_status is None:
            await command.write(bytes(MEGABYTE))

        assert command.exit_status == 0


async def test_of_standard_error_the_first_eight_kilobytes_are_kept_and_the_rest_does_not_block(
    pool: Pool, host: Host
) -> None:
    done = await pool.run(host, f"head -c {10 * MEGABYTE} /dev/zero | tr '\\0' x >&2; echo end")

    assert (done.stdout, done.stderr) == (b"end\n", b"x" * 8192)


@pytest.mark.parametrize(
    ("end", "status", "signal"), [("exit 0", 0, None), ("exit 255", 255, None), ("kill -KILL $$", None, "KILL")]
)
async def test_an_end_by_exit_and_one_by_signal_are_told_apart(
    pool: Pool, host: Host, end: str, status: int | None, signal: str | None
) -> None:
    done = await pool.run(host, end)

    assert (done.exit_status, done.exit_signal) == (status, signal)


async def test_leaving_a_command_closes_its_channel_and_frees_its_place(
    pool: Pool, server: OpenSshServer, host: Host
) -> None:
    for _ in range(20):
        async with pool.command(host, "cat"):
            pass

    assert (await pool.run(host, "echo fine")).stdout == b"fine\n"
    assert server.count("Accepted publickey") == 1


async def read_all(command: Command) -> bytes:
    pieces: list[bytes] = []
    while piece := await command.read(1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


async def drain(pool: Pool, host: Host, size: int) -> tuple[int, int]:
    """Read `size` bytes; how many there were, and the most memory seen on the way."""
    passed = most = 0
    async with pool.command(host, f"head -c {size} /dev/zero") as command:
        while piece := await command.read(1 << 16):
            passed += len(piece)
            most = max(most, resident_bytes())
        await command.wait_closed()
        assert command.exit_status == 0
    return passed, most


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:  # noqa: PTH123 - in the inner loop
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
