"""Commands through the pool, on real servers."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import asyncssh
import pytest
from tests.servers import NOBODY, ClientKey, OpenSshServer

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.transport import Lane, Pool

ACCEPTED = "Accepted publickey"


async def test_a_command_returns_its_output_its_errors_and_its_exit_status(
    pool: Pool, server: OpenSshServer, key: ClientKey
) -> None:
    done = await pool.run(server.host(ssh_key=key.path), "cat; echo no >&2; exit 3", stdin=b"in\0\xff")

    assert (done.stdout, done.stderr, done.exit_status, done.exit_signal) == (b"in\0\xff", b"no\n", 3, None)


async def test_each_address_of_a_server_is_a_host_with_a_home_of_its_own(
    pool: Pool, tmp_path: Path, key: ClientKey
) -> None:
    async with OpenSshServer(tmp_path / "sshd", authorized_key=key.public, addresses=3) as server:
        hosts = [server.host(address, address=address, ssh_key=key.path) for address in server.addresses]
        homes = await asyncio.gather(*(pool.run(host, 'echo "$HOME"') for host in hosts))

    assert [done.stdout.decode().strip() for done in homes] == [str(home) for home in server.homes]


async def test_twenty_commands_at_once_share_one_connection_attempt(
    pool: Pool, server: OpenSshServer, key: ClientKey
) -> None:
    host = server.host(ssh_key=key.path)

    done = await asyncio.gather(*(pool.run(host, f"echo {number}") for number in range(20)))

    assert [result.stdout for result in done] == [b"%d\n" % number for number in range(20)]
    assert server.count(ACCEPTED) == 1


async def test_a_failure_to_connect_is_shared_by_those_who_waited(
    pool: Pool, server: OpenSshServer, own_home: Path
) -> None:
    host = server.host(ssh_key=ClientKey.make(own_home / "other").path)

    failures = await asyncio.gather(*(pool.run(host, "true") for _ in range(10)), return_exceptions=True)

    assert {type(failure) for failure in failures} == {HostError}
    assert len({id(failure) for failure in failures}) == 1


async def test_more_commands_than_the_host_takes_channels_all_succeed(
    pool: Pool, tmp_path: Path, key: ClientKey
) -> None:
    async with OpenSshServer(tmp_path / "sshd", authorized_key=key.public, config=["MaxSessions 3"]) as server:
        host = server.host(ssh_key=key.path)
        done = await asyncio.gather(*(pool.run(host, f"cat; echo {number}") for number in range(100)))

        assert [result.stdout for result in done] == [b"%d\n" % number for number in range(100)]
        assert server.count(ACCEPTED) == 1


@pytest.mark.parametrize(("config", "places"), [([], 8), (["MaxSessions 3"], 3)])
async def test_a_host_that_counts_channels_a_moment_longer_keeps_all_its_places(
    pool: Pool, tmp_path: Path, key: ClientKey, config: list[str], places: int
) -> None:
    async with OpenSshServer(tmp_path / "sshd", authorized_key=key.public, config=config) as server:
        host = server.host(ssh_key=key.path)
        await asyncio.gather(*(pool.run(host, "cat") for _ in range(200)))

        # Each waits for all the others.
        there = tmp_path / "there"
        there.mkdir()
        meet = f"until [ $(ls {there} | wc -l) = {places} ]; do sleep 0.05; done"
        await asyncio.gather(*(pool.run(host, f"touch {there}/{n}; {meet}", timeout=20) for n in range(places)))


async def test_twelve_long_commands_pass_through_a_connection_that_takes_ten(
    pool: Pool, server: OpenSshServer, key: ClientKey
) -> None:
    host = server.host(ssh_key=key.path)
    entered, release = asyncio.Semaphore(0), asyncio.Event()

    async def hold(number: int) -> bytes:
        async with pool.command(host, f"cat; echo {number}") as command:
            entered.release()
            await release.wait()
            command.write_eof()
            return await command.read(100)

    holding = [asyncio.create_task(hold(number)) for number in range(12)]
    for _ in range(8):
        await entered.acquire()
    assert server.count("Starting session: command") <= 8
    release.set()

    assert await asyncio.gather(*holding) == [b"%d\n" % number for number in range(12)]
    assert server.count(ACCEPTED) == 1


async def test_a_host_that_takes_no_channel_at_all_is_an_error(pool: Pool, tmp_path: Path, key: ClientKey) -> None:
    async with OpenSshServer(tmp_path / "sshd", authorized_key=key.public, config=["MaxSessions 0"]) as server:
        host = server.host(ssh_key=key.path)
        with anyio.fail_after(20), pytest.raises(HostError, match="refuses to run a command") as caught:
            await pool.run(host, "true")
        everybody = await asyncio.gather(*(pool.run(host, "true") for _ in range(10)), return_exceptions=True)

    assert caught.value.reason is Reason.PROTOCOL_ERROR
    assert {failure.reason for failure in everybody if isinstance(failure, HostError)} == {Reason.PROTOCOL_ERROR}


async def test_a_probe_passes_by_six_commands_that_wait_for_jobs(
    pool: Pool, server: OpenSshServer, key: ClientKey
) -> None:
    host = server.host(ssh_key=key.path)

    async def wait() -> None:
        async with pool.command(host, "cat", lane=Lane.WAIT) as command:
            await command.wait_closed()

    waiting = [asyncio.create_task(wait()) for _ in range(9)]
    await server.logged("Starting session: command", times=6)

    with anyio.fail_after(10):
        assert (await pool.run(host, "echo through")).stdout == b"through\n"
    # Three of the nine never got a channel, though two were free.
    assert server.count("Starting session: command") == 7
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (await pool.run(host, "echo still")).stdout == b"still\n"


@pytest.mark.parametrize("most", [1, 2])
async def test_a_host_that_takes_few_channels_does_as_much_at_once_as_others(
    pool: Pool, tmp_path: Path, key: ClientKey, most: int
) -> None:
    async with OpenSshServer(tmp_path / "sshd", authorized_key=key.public, config=[f"MaxSessions {most}"]) as server:
        host = server.host(ssh_key=key.path)

        async def wait() -> None:
            async with pool.command(host, "cat", lane=Lane.WAIT) as command:
                await command.wait_closed()

        waiting = [asyncio.create_task(wait()) for _ in range(10)]
        with anyio.fail_after(20):
            await server.logged("Starting session: command", times=6)
            assert (await pool.run(host, "echo through")).stdout == b"through\n"
        assert server.count("Starting session: command") == 7
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_connection_whose_host_answers_no_request_for_a_channel_is_not_kept(pool: Pool, key: ClientKey) -> None:
    lost = asyncio.Semaphore(0)

    class Forgetful(asyncssh.SSHServer):
        def session_requested(self) -> Any:
            return asyncio.Event().wait()

        def connection_lost(self, exc: Exception | None) -> None:
            lost.release()

    async with asyncssh_host(Forgetful, key) as host:
        with pytest.raises(HostError, match="no answer on its connection"):
            await pool.run(replace(host, connect_timeout=0.5), "true")
        with anyio.fail_after(10):
            await lost.acquire()
            await lost.acquire()


async def test_a_dead_connection_is_replaced_at_the_next_use(pool: Pool, server: OpenSshServer, key: ClientKey) -> None:
    host = server.host(ssh_key=key.path)
    await pool.run(host, "true")
    for pid in server.descendants():
        os.kill(pid, signal.SIGKILL)

    assert (await pool.run(host, "echo again")).stdout == b"again\n"
    assert server.count(ACCEPTED) == 2


async def test_a_command_whose_connection_is_killed_has_no_exit_status_and_is_not_sent_again(
    pool: Pool, server: OpenSshServer, key: ClientKey
) -> None:
    host = server.host(ssh_key=key.path)
    runs = server.home() / "runs"

    async with pool.command(host, f"echo run >>{runs}; echo started; exec sleep 100") as command:
        assert await command.read(100) == b"started\n"
        for pid in server.descendants():
            os.kill(pid, signal.SIGKILL)
        await command.wait_closed()
        assert (command.exit_status, command.exit_signal) == (None, None)
        with pytest.raises(HostError) as lost:
            command.check()

    assert (lost.value.reason, lost.value.retryable) == (Reason.LOST_CONTACT, True)
    assert runs.read_text() == "run\n"


async def test_run_tells_of_lost_contact(pool: Pool, server: OpenSshServer, key: ClientKey) -> None:
    host = server.host(ssh_key=key.path)
    running = asyncio.create_task(pool.run(host, "exec sleep 100"))
    await server.logged("Starting session: command")
    for pid in server.descendants():
        os.kill(pid, signal.SIGKILL)

    with pytest.raises(HostError) as lost:
        await running

    assert lost.value.reason is Reason.LOST_CONTACT


async def test_a_host_that_moved_gets_a_new_connection_and_the_old_one_ends_with_its_last_command(
    pool: Pool, tmp_path: Path, key: ClientKey
) -> None:
    async with OpenSshServer(tmp_path / "sshd", authorized_key=key.public, addresses=2) as server:
        before = server.host(ssh_key=key.path)
        after = replace(before, address=server.addresses[1])
        async with pool.command(before, 'read line; echo "$line"') as command:
            assert (await pool.run(after, "true")).exit_status == 0
            await command.write(b"not cut\n")
            assert await command.read(100) == b"not cut\n"
            await command.wait_closed()

        with anyio.fail_after(10):
            await server.logged("Disconnected from user", times=1)
        assert (await pool.run(after, "true")).exit_status == 0
        assert server.count(ACCEPTED) == 2


@pytest.mark.parametrize("connected", [True, False])
async def test_commands_by_the_config_before_and_after_a_change_all_run(
    pool: Pool, tmp_path: Path, key: ClientKey, connected: bool
) -> None:
    async with OpenSshServer(tmp_path / "sshd", authorized_key=key.public, addresses=2) as server:
        before = server.host(ssh_key=key.path)
        after = replace(before, address=server.addresses[1])
        if connected:
            await pool.connect(before)

        # More than there is room for, so that some are queued when the other config comes.
        done = await asyncio.gather(
            *(pool.run(host, "cat") for host in (before, after, before, after) for _ in range(12))
        )

        assert {result.exit_status for result in done} == {0}
        assert server.count(ACCEPTED) == 2


async def test_a_connect_timeout_that_was_raised_counts_from_the_next_attempt(pool: Pool, own_home: Path) -> None:
    async with mute_host() as host:
        with pytest.raises(HostError, match=r"within 0\.1 s"):
            await pool.run(replace(host, connect_timeout=0.1), "true")
        with pytest.raises(HostError, match=r"within 0\.2 s"):
            await pool.run(replace(host, connect_timeout=0.2), "true")


async def test_an_idle_connection_closes_itself(pool: Pool, server: OpenSshServer, key: ClientKey) -> None:
    host = replace(server.host(ssh_key=key.path), idle_timeout=0.05)
    await pool.run(host, "true")

    with anyio.fail_after(10):
        await server.logged("Disconnected from user")


async def test_a_connection_in_use_is_not_idle(pool: Pool, server: OpenSshServer, key: ClientKey) -> None:
    host = replace(server.host(ssh_key=key.path), idle_timeout=0.05)

    done = await pool.run(host, "sleep 0.5; echo done")

    assert done.stdout == b"done\n"
    assert server.count(ACCEPTED) == 1


async def test_whoever_gives_up_waiting_does_not_disturb_the_others(
    pool: Pool, server: OpenSshServer, key: ClientKey
) -> None:
    host = server.host(ssh_key=key.path)
    impatient = [asyncio.create_task(pool.run(host, "true")) for _ in range(5)]
    patient = asyncio.create_task(pool.run(host, "echo patient"))
    await asyncio.sleep(0)
    for task in impatient:
        task.cancel()

    assert (await patient).stdout == b"patient\n"
    assert all(task.cancelled() for task in impatient)
    assert server.count(ACCEPTED) == 1


async def test_a_command_cancelled_before_its_channel_was_open_never_runs_and_leaves_no_channel(
    pool: Pool, server: OpenSshServer, key: ClientKey
) -> None:
    host = server.host(ssh_key=key.path)
    await pool.run(host, "true")
    traces = server.home() / "traces"

    async with stopped(server.descendants()):
        # sshd answers nothing now, so no channel opens.
        tasks = [asyncio.create_task(pool.run(host, f"echo ran >>{traces}")) for _ in range(8)]
        for _ in range(5):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # All ten of sshd's sessions and all eight of ours are free again, on the same connection.
    done = await asyncio.gather(*(pool.run(host, "sleep 0.1; echo free") for _ in range(8)))
    assert [result.stdout for result in done] == [b"free\n"] * 8
    assert server.count("no more sessions") == 0
    assert not traces.exists()
    assert server.count(ACCEPTED) == 1


async def test_a_connection_that_does_not_answer_is_replaced_before_anything_is_sent(
    pool: Pool, server: OpenSshServer, key: ClientKey
) -> None:
    host = replace(server.host(ssh_key=key.path), connect_timeout=3)
    await pool.run(host, "true")
    async with stopped(server.descendants()):
        assert (await pool.run(host, "echo new way")).stdout == b"new way\n"

    assert server.count(ACCEPTED) == 2


@pytest.mark.parametrize(("lane", "places"), [(Lane.PROMPT, 8), (Lane.WAIT, 6)])
async def test_commands_that_were_left_and_never_end_do_not_keep_a_host_from_others(
    pool: Pool, server: OpenSshServer, key: ClientKey, lane: Lane, places: int
) -> None:
    host = replace(server.host(ssh_key=key.path), connect_timeout=2)
    for _ in range(places):
        async with pool.command(host, "echo hangs; exec sleep 100", lane=lane) as command:
            assert await command.read(100) == b"hangs\n"

    with anyio.fail_after(20):
        async with pool.command(host, "echo through", lane=lane) as command:
            assert await command.read(100) == b"through\n"
    assert server.count(ACCEPTED) == 2


async def test_a_command_that_takes_too_long_or_says_too_much_is_cut(
    pool: Pool, server: OpenSshServer, key: ClientKey
) -> None:
    host = server.host(ssh_key=key.path)
    with pytest.raises(HostError) as slow:
        await pool.run(host, "exec sleep 100", timeout=0.2)
    with pytest.raises(HostError) as loud:
        await pool.run(host, "exec cat /dev/zero", limit=100_000)

    assert (slow.value.reason, loud.value.reason) == (Reason.TIMEOUT, Reason.TOO_LARGE)


async def test_closing_is_prompt_although_commands_run(server: OpenSshServer, key: ClientKey, own_home: Path) -> None:
    host = server.host(ssh_key=key.path)
    async with Pool() as pool:
        running = asyncio.create_task(pool.run(host, "exec sleep 100"))
        await server.logged("Starting session: command")
        with anyio.fail_after(5):
            await pool.aclose()
        with pytest.raises(HostError) as lost:
            await running
        with pytest.raises(HostError) as closed:
            await pool.run(host, "true")

    assert (lost.value.reason, closed.value.reason) == (Reason.LOST_CONTACT, Reason.UNREACHABLE)


async def test_closing_ends_an_attempt_to_connect(own_home: Path) -> None:
    with anyio.fail_after(5):
        async with mute_host() as host, Pool() as pool:
            waiting = asyncio.create_task(pool.run(host, "true"))
            await asyncio.sleep(0.05)
            await pool.aclose()
            with pytest.raises(HostError):
                await waiting


@asynccontextmanager
async def stopped(pids: list[int]) -> AsyncGenerator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def asyncssh_host(factory: Callable[[], asyncssh.SSHServer], key: ClientKey) -> AsyncGenerator[Host]:
    """A server as none is in the wild."""
    host_key = asyncssh.generate_private_key("ssh-ed25519")  # pyright: ignore[reportUnknownMemberType]
    allowed = asyncssh.import_authorized_keys(key.public)
    async with await asyncssh.listen(
        "127.0.0.1", 0, server_factory=factory, server_host_keys=[host_key], authorized_client_keys=allowed, config=None
    ) as server:
        pinned = host_key.export_public_key("openssh").decode()
        yield replace(NOBODY, name="odd", port=server.get_port(), ssh_key=key.path, host_key=pinned)


@asynccontextmanager
async def mute_host() -> AsyncGenerator[Host]:
    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(ignore, "127.0.0.1", 0) as listener:
        yield replace(NOBODY, port=listener.sockets[0].getsockname()[1])
