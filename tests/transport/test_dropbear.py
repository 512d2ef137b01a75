"""What small boards have: a real Dropbear."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from tests.servers import ClientKey, DropbearServer

from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.transport import Lane, Pool, trust


@pytest.fixture
async def dropbear(tmp_path: Path, key: ClientKey) -> AsyncGenerator[DropbearServer]:
    """Its only host key is ed25519, which some orders of algorithms make it stumble over."""
    async with DropbearServer(tmp_path / "dropbear", authorized_key=key.public) as server:
        with anyio.fail_after(50):
            yield server


async def test_a_command_runs_in_the_home(pool: Pool, dropbear: DropbearServer, key: ClientKey) -> None:
    done = await pool.run(dropbear.host(ssh_key=key.path), "cat; pwd; echo no >&2; exit 3", stdin=b"in\0\xff")

    assert (done.stdout, done.stderr) == (b"in\0\xff" + f"{dropbear.home}\n".encode(), b"no\n")
    assert (done.exit_status, done.exit_signal) == (3, None)


async def test_its_key_is_looked_at_trusted_and_verified(pool: Pool, dropbear: DropbearServer, key: ClientKey) -> None:
    host = dropbear.host(ssh_key=key.path, host_key="")
    with pytest.raises(HostError) as unknown:
        await pool.run(host, "true")
    trust(await pool.offered_key(host))

    assert unknown.value.reason is Reason.HOST_KEY_UNKNOWN
    assert (await pool.run(host, "true")).exit_status == 0


async def test_a_key_that_it_does_not_know(pool: Pool, dropbear: DropbearServer, own_home: Path) -> None:
    with pytest.raises(HostError) as denied:
        await pool.run(dropbear.host(ssh_key=ClientKey.make(own_home / "stranger").path), "true")

    assert denied.value.reason is Reason.AUTH_FAILED


async def test_an_end_by_signal_is_told(pool: Pool, dropbear: DropbearServer, key: ClientKey) -> None:
    done = await pool.run(dropbear.host(ssh_key=key.path), "kill -TERM $$")

    assert (done.exit_status, done.exit_signal) == (None, "TERM")


async def test_a_killed_connection_is_lost_contact(pool: Pool, dropbear: DropbearServer, key: ClientKey) -> None:
    async with pool.command(dropbear.host(ssh_key=key.path), "echo up; exec sleep 100") as command:
        assert await command.read(100) == b"up\n"
        os.kill(dropbear.descendants()[0], signal.SIGKILL)
        await command.wait_closed()

        assert (command.exit_status, command.exit_signal) == (None, None)
        with pytest.raises(HostError) as lost:
            command.check()
    assert lost.value.reason is Reason.LOST_CONTACT


async def test_sixty_commands_at_once_all_succeed_although_its_sessions_must_not_overlap(
    pool: Pool, dropbear: DropbearServer, key: ClientKey
) -> None:
    host = dropbear.host(ssh_key=key.path)

    done = await asyncio.gather(*(pool.run(host, f"echo {n}") for n in range(60)))

    assert [d.stdout for d in done] == [b"%d\n" % n for n in range(60)]
    assert dropbear.count("Pubkey auth succeeded") <= 8


async def test_one_command_after_the_other_shares_one_connection(
    pool: Pool, dropbear: DropbearServer, key: ClientKey
) -> None:
    host = dropbear.host(ssh_key=key.path)

    for n in range(5):
        assert (await pool.run(host, f"echo {n}")).stdout == b"%d\n" % n

    assert dropbear.count("Pubkey auth succeeded") == 1


async def test_a_probe_passes_by_commands_that_wait_for_jobs(
    pool: Pool, dropbear: DropbearServer, key: ClientKey
) -> None:
    host = dropbear.host(ssh_key=key.path)
    entered = asyncio.Semaphore(0)

    async def wait() -> None:
        async with pool.command(host, "cat", lane=Lane.WAIT) as command:
            entered.release()
            await command.wait_closed()

    waiting = [asyncio.create_task(wait()) for _ in range(9)]
    for _ in range(6):
        await entered.acquire()

    assert (await pool.run(host, "echo through")).stdout == b"through\n"
    assert dropbear.count("Pubkey auth succeeded") == 7
    assert entered.locked()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_probe_does_not_wait_for_a_job_s_end_when_the_host_lets_nobody_in_any_more(
    pool: Pool, dropbear: DropbearServer, key: ClientKey
) -> None:
    host = dropbear.host(ssh_key=key.path)
    async with pool.command(host, "echo up; exec cat", lane=Lane.WAIT) as job:
        assert await job.read(100) == b"up\n"
        # Who is connected has a process of his own.
        os.kill(dropbear.pid, signal.SIGSTOP)

        with pytest.raises(HostError) as away:
            await pool.run(replace(host, connect_timeout=1), "true")

        assert away.value.reason is Reason.CONNECT_TIMEOUT
        assert not job.closed


async def test_much_passes_in_both_directions(pool: Pool, dropbear: DropbearServer, key: ClientKey) -> None:
    data = os.urandom(5 << 20)

    done = await pool.run(dropbear.host(ssh_key=key.path), "cat", stdin=data, limit=1 << 24)

    assert done.stdout == data


async def test_a_rsa_key_of_the_host_is_verified_too(pool: Pool, tmp_path: Path, key: ClientKey) -> None:
    async with DropbearServer(tmp_path / "rsa", authorized_key=key.public, host_keys=["rsa"]) as server:
        host = replace(server.host(ssh_key=key.path, host_key=server.host_key("rsa")))
        assert (await pool.run(host, "true")).exit_status == 0
