"""The hosts inside this process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from tests.servers import NOBODY, ClientKey

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.transport import EmbeddedHost, Pool


def host_of(embedded: EmbeddedHost, key: ClientKey) -> Host:
    return replace(
        NOBODY, name="demo", address=embedded.address, port=embedded.port, user=embedded.user,
        ssh_key=key.path, host_key=embedded.host_key,
    )  # fmt: skip


@pytest.fixture
async def embedded(tmp_path: Path, key: ClientKey) -> AsyncGenerator[EmbeddedHost]:
    async with EmbeddedHost(tmp_path / "home", authorized_key=key.public) as embedded:
        with anyio.fail_after(50):
            yield embedded


@pytest.fixture
def host(embedded: EmbeddedHost, key: ClientKey) -> Host:
    return host_of(embedded, key)


async def test_a_command_runs_in_a_home_of_its_own(
    pool: Pool, embedded: EmbeddedHost, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_SERVER", "secret")

    done = await pool.run(
        host, 'cat; echo "$HOME $PWD"; pwd; env | grep -c SERVER; command -v env >&2; exit 3', stdin=b"in\0\xff"
    )

    home = str(embedded.home)
    assert done.stdout == b"in\0\xff" + f"{home} {home}\n{home}\n0\n".encode()
    assert (done.exit_status, done.exit_signal) == (3, None)


async def test_an_end_by_signal_is_told(pool: Pool, host: Host) -> None:
    done = await pool.run(host, "kill -TERM $$")

    assert (done.exit_status, done.exit_signal) == (None, "TERM")


async def test_much_passes_in_both_directions_and_errors_apart(pool: Pool, host: Host) -> None:
    data = os.urandom(8 << 20)

    done = await pool.run(host, "cat; head -c 1000000 /dev/zero >&2", stdin=data, limit=1 << 24)

    assert done.stdout == data
    assert done.stderr == bytes(8192)


async def test_forty_commands_at_once(pool: Pool, host: Host) -> None:
    done = await asyncio.gather(*(pool.run(host, f"echo {n}") for n in range(40)))

    assert [d.stdout for d in done] == [b"%d\n" % n for n in range(40)]


async def test_only_the_authorized_key_and_only_the_right_host_key_will_do(
    pool: Pool, host: Host, own_home: Path
) -> None:
    with pytest.raises(HostError) as stranger:
        await pool.run(replace(host, ssh_key=ClientKey.make(own_home / "stranger").path), "true")
    with pytest.raises(HostError) as unpinned:
        await pool.run(replace(host, name="two", host_key=""), "true")

    assert (stranger.value.reason, unpinned.value.reason) == (Reason.AUTH_FAILED, Reason.HOST_KEY_UNKNOWN)


async def test_a_detached_process_outlives_its_connection_but_not_the_host(
    pool: Pool, tmp_path: Path, key: ClientKey
) -> None:
    async with EmbeddedHost(tmp_path / "short-lived", authorized_key=key.public) as embedded:
        host = host_of(embedded, key)
        started = await pool.run(host, "setsid sh -c 'sleep 1000 & sleep 1000' >/dev/null 2>&1 </dev/null & echo $!")
        pid = int(started.stdout)
        embedded.drop_connections()
        assert (await pool.run(host, f"kill -0 {pid}; echo $?")).stdout == b"0\n"

    assert not marked(tmp_path / "short-lived")


async def test_a_dropped_connection_is_lost_contact(pool: Pool, embedded: EmbeddedHost, host: Host) -> None:
    async with pool.command(host, "echo up; exec sleep 100") as command:
        assert await command.read(100) == b"up\n"
        embedded.drop_connections()
        await command.wait_closed()

        with pytest.raises(HostError) as lost:
            command.check()
    assert lost.value.reason is Reason.LOST_CONTACT


async def test_two_hosts_do_not_stop_each_other_s_processes(
    pool: Pool, embedded: EmbeddedHost, host: Host, tmp_path: Path, key: ClientKey
) -> None:
    async with pool.command(host, "echo up; cat") as command:
        assert await command.read(100) == b"up\n"
        async with EmbeddedHost(tmp_path / "other", authorized_key=key.public) as other:
            await pool.run(host_of(other, key), "true")
        await command.write(b"alive\n")
        assert await command.read(100) == b"alive\n"


async def test_what_the_caller_adds_to_the_environment_is_there(pool: Pool, tmp_path: Path, key: ClientKey) -> None:
    async with EmbeddedHost(tmp_path / "home", authorized_key=key.public, env={"PATH": "/bin:/opt/x"}) as embedded:
        done = await pool.run(host_of(embedded, key), 'echo "$PATH"')

    assert done.stdout == b"/bin:/opt/x\n"


async def test_who_closes_a_host_has_seen_the_end_of_all_that_it_ran(tmp_path: Path, key: ClientKey) -> None:
    """Else, on a busy machine, the loop ends before it has heard of them, and they count as running still."""
    before = asyncio.all_tasks()
    embedded = EmbeddedHost(tmp_path / "home", authorized_key=key.public)
    async with Pool() as pool, embedded, pool.command(host_of(embedded, key), "echo up; sleep 300") as command:
        assert await command.read(3) == b"up\n"
        await embedded.aclose()
        assert asyncio.all_tasks() == before


def marked(home: Path) -> list[str]:
    """The processes that have `home` in their environment."""
    found: list[str] = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"HOME={home}".encode() in entry.read_bytes().split(b"\0"):
                found.append(str(entry))
        except OSError:
            continue
    return found
