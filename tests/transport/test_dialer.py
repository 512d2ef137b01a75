"""Connecting, and not being able to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.servers import NOBODY, ClientKey, OpenSshServer

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.transport import Pool
from picoclaw_fleet.transport.dialer import MAX_HANDSHAKES, Allowance
from picoclaw_fleet.transport.lookups import Candidates

from .peers import Mute, black_hole, saying

CROWD = MAX_HANDSHAKES + 8


async def test_nobody_listens(pool: Pool) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        host = replace(NOBODY, name="off", port=sock.getsockname()[1])

        refused = await failure(pool, host)

    assert (refused.reason, refused.retryable) == (Reason.UNREACHABLE, True)
    assert str(refused).startswith(f"off: can't reach 127.0.0.1:{host.port}: Connection refused. Check the address")


async def test_a_name_without_an_address(pool: Pool) -> None:
    unknown = await failure(pool, replace(NOBODY, address="no-such-host.invalid", port=22))

    assert unknown.reason is Reason.UNREACHABLE
    assert "no-such-host.invalid:22 can't be resolved" in str(unknown)


@pytest.mark.parametrize("address", ["a..b", "x" * 64])
async def test_an_address_that_can_t_be_a_name(pool: Pool, address: str) -> None:
    unknown = await failure(pool, replace(NOBODY, address=address, port=22))

    assert (unknown.reason, unknown.retryable) == (Reason.UNREACHABLE, False)
    assert f"{address}:22 can't be resolved: no host can have that name" in str(unknown)


async def test_an_address_of_a_family_that_the_kernel_lacks_does_not_hide_the_others(
    pool: Pool, server: OpenSshServer, key: ClientKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_: object, **__: object) -> Candidates:
        families = (socket.AF_APPLETALK, socket.AF_INET)
        return [(family, socket.SOCK_STREAM, 0, "", (server.address, server.port)) for family in families]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    assert (await pool.run(server.host(ssh_key=key.path), "true")).exit_status == 0


async def test_a_black_hole_takes_no_longer_than_connect_timeout(pool: Pool) -> None:
    with black_hole() as host:
        silent = await failure(pool, replace(host, connect_timeout=0.5))

    assert (silent.reason, silent.retryable) == (Reason.CONNECT_TIMEOUT, True)
    assert "no TCP connection" in str(silent)
    assert "within 0.5 s" in str(silent)


async def test_a_mute_host_takes_no_longer_than_connect_timeout(pool: Pool) -> None:
    async with Mute().listening() as mute:
        silent = await failure(pool, mute.host(connect_timeout=0.3))

    assert silent.reason is Reason.CONNECT_TIMEOUT
    assert "no SSH greeting" in str(silent)


async def test_a_host_that_hangs_up_at_once(pool: Pool) -> None:
    async with saying(b"") as host:
        rude = await failure(pool, host)

    assert (rude.reason, rude.retryable) == (Reason.UNREACHABLE, True)
    assert "before its SSH greeting" in str(rude)


@pytest.mark.parametrize("words", [b"SSH-1.5-old\r\n", b"SSH-2.0-broken\r\n" + b"\xff" * 64])
async def test_a_host_that_speaks_something_else(pool: Pool, words: bytes) -> None:
    async with saying(words) as host:
        foreign = await failure(pool, host)

    assert foreign.reason is Reason.PROTOCOL_ERROR


async def test_a_server_without_a_key_exchange_that_we_would_use(pool: Pool, tmp_path: Path, key: ClientKey) -> None:
    only = "KexAlgorithms diffie-hellman-group-exchange-sha256"
    async with OpenSshServer(tmp_path / "sshd", authorized_key=key.public, config=[only]) as server:
        stuck = await failure(pool, server.host(ssh_key=key.path))

    assert stuck.reason is Reason.PROTOCOL_ERROR


async def test_forty_mute_hosts_first_in_line_do_not_hold_up_one_that_answers(
    pool: Pool, server: OpenSshServer, key: ClientKey
) -> None:
    async with Mute().listening() as mute:
        waiting = [asyncio.create_task(pool.run(mute.host(f"mute{n}"), "true")) for n in range(CROWD)]
        for _ in waiting:
            await mute.accepted.acquire()

        assert (await pool.run(server.host(ssh_key=key.path), "echo here")).stdout == b"here\n"
        assert not any(task.done() for task in waiting)
        await cancelled(waiting)


async def test_forty_mute_hosts_behind_a_jump_host_do_not_hold_up_one_that_answers(
    tmp_path: Path, key: ClientKey
) -> None:
    async with AsyncExitStack() as until:
        server = await until.enter_async_context(
            OpenSshServer(tmp_path / "sshd", authorized_key=key.public, addresses=2)
        )
        mute = await until.enter_async_context(Mute().listening())
        gate = server.host("gate", ssh_key=key.path)
        pool = await until.enter_async_context(Pool({"gate": gate}.get))
        behind = [replace(mute.host(f"mute{n}"), jump="gate") for n in range(CROWD)]
        waiting = [asyncio.create_task(pool.run(host, "true")) for host in behind]
        for _ in waiting:
            await mute.accepted.acquire()

        healthy = server.host(ssh_key=key.path, address=server.addresses[1], jump="gate")
        assert (await pool.run(healthy, "echo here")).stdout == b"here\n"
        assert not any(task.done() for task in waiting)
        await cancelled(waiting)


async def test_a_hundred_hosts_at_once_all_answer(pool: Pool, tmp_path: Path, key: ClientKey) -> None:
    async with OpenSshServer(tmp_path / "sshd", authorized_key=key.public, addresses=16) as server:
        hosts = [
            server.host(f"h{n}", address=server.addresses[n % 16], ssh_key=key.path, connect_timeout=30)
            for n in range(100)
        ]
        done = await asyncio.gather(*(pool.run(host, "echo $HOME") for host in hosts))

    assert [d.stdout.decode().strip() for d in done] == [str(server.home(host.address)) for host in hosts]


async def test_the_clock_of_a_host_stands_still_while_we_wait_for_ourselves() -> None:
    allowance = Allowance(0.5)
    async with allowance.running():
        await asyncio.sleep(0)
    left = allowance.left
    await asyncio.sleep(0.5)

    assert 0 < allowance.left == left < 0.5
    with pytest.raises(TimeoutError):
        async with allowance.running():
            await asyncio.sleep(10)


async def failure(pool: Pool, host: Host) -> HostError:
    with anyio.fail_after(20), pytest.raises(HostError) as caught:
        await pool.run(host, "true")
    return caught.value


async def cancelled(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
