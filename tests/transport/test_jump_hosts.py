"""Hosts behind other hosts, on a real sshd with several addresses."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncGenerator
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import asyncssh
import pytest
from tests.servers import NOBODY, ClientKey, DropbearServer, OpenSshServer

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.transport import Pool
from picoclaw_fleet.transport.route import next_hop
from picoclaw_fleet.transport.ssh_config import read_settings

ACCEPTED = "Accepted publickey"


@pytest.fixture
async def server(tmp_path: Path, key: ClientKey) -> AsyncGenerator[OpenSshServer]:
    async with OpenSshServer(tmp_path / "sshd", authorized_key=key.public, addresses=4) as server:
        yield server


@pytest.fixture
def gate(server: OpenSshServer, key: ClientKey) -> Host:
    return server.host("gate", ssh_key=key.path)


@pytest.fixture
def inner(server: OpenSshServer, key: ClientKey) -> Host:
    return server.host("inner", ssh_key=key.path, address=server.addresses[1])


async def test_a_jump_host_of_the_fleet_is_connected_once_for_all_behind_it(
    server: OpenSshServer, gate: Host, inner: Host
) -> None:
    behind = [replace(inner, name=address, address=address, jump="gate") for address in server.addresses[1:]]
    async with Pool({"gate": gate}.get) as pool:
        done = await asyncio.gather(*(pool.run(host, "echo $HOME") for host in behind))
        assert (await pool.run(gate, "true")).exit_status == 0

        assert [d.stdout.decode().strip() for d in done] == [str(server.home(host.address)) for host in behind]
        assert server.count(ACCEPTED) == 1 + len(behind)


async def test_hosts_behind_a_jump_host_really_are_reached_through_it(
    server: OpenSshServer, gate: Host, inner: Host
) -> None:
    async with Pool({"gate": gate}.get) as pool:
        await pool.run(gate, "true")
        through = server.descendants()
        async with pool.command(replace(inner, jump="gate"), "echo up; exec sleep 100") as command:
            assert await command.read(100) == b"up\n"
            for pid in through:
                os.kill(pid, signal.SIGKILL)
            with anyio.fail_after(10):
                await command.wait_closed()
            with pytest.raises(HostError) as lost:
                command.check()
            assert lost.value.reason is Reason.LOST_CONTACT

        assert (await pool.run(replace(inner, jump="gate"), "echo back")).stdout == b"back\n"


async def test_a_jump_host_outside_the_fleet_is_written_out(server: OpenSshServer, gate: Host, inner: Host) -> None:
    place = f"{server.user}@{server.address}:{server.port}"
    known = server.folder / "known"
    known.write_text(f"[{server.address}]:{server.port} {server.host_key()}\n")
    async with Pool() as pool:
        done = await pool.run(replace(inner, jump=place, known_hosts=known), "echo in")
        stranger = replace(inner, name="strict", jump=place, known_hosts=server.folder / "none")
        with pytest.raises(HostError) as unknown:
            await pool.run(stranger, "true")

    assert done.stdout == b"in\n"
    assert server.count(ACCEPTED) == 2
    # The jump host is verified like any other.
    assert (unknown.value.host, unknown.value.reason) == ("strict", Reason.HOST_KEY_UNKNOWN)
    assert f"jump host {place}" in unknown.value.message


async def test_what_is_said_to_do_about_an_unknown_key_on_the_way_can_be_done(
    server: OpenSshServer, gate: Host, inner: Host
) -> None:
    known = server.folder / "known"
    place = f"{server.user}@{server.address}:{server.port}"
    second = replace(gate, name="second", address=server.addresses[2], known_hosts=known, host_key="")
    for jump in (place, f"{place},second"):
        async with Pool({"second": second}.get) as pool:
            stranger = replace(inner, jump=jump, known_hosts=known)
            with pytest.raises(HostError) as unknown:
                await pool.run(stranger, "true")
            # Neither an address nor what is only reached through another host is anything for `trust`.
            assert "fleet trust" not in unknown.value.next_step
            told, line = unknown.value.next_step.split(f"add this line to {known}: ")
            assert "Compare" in told
            with known.open("a") as file:
                file.write(f"{line}\n")
            assert (await pool.run(stranger, "echo in")).stdout == b"in\n"


async def test_two_hops_in_the_fleet_config(server: OpenSshServer, gate: Host, inner: Host) -> None:
    fleet = {"gate": gate, "inner": inner}
    last = replace(inner, name="last", address=server.addresses[2], jump="gate,inner")
    chained = fleet | {"inner": replace(inner, jump="gate")}
    async with Pool(fleet.get) as pool:
        assert (await pool.run(last, "echo one list")).stdout == b"one list\n"
    assert server.count(ACCEPTED) == 3

    async with Pool(chained.get) as pool:
        assert (await pool.run(replace(last, jump="inner"), "echo one by one")).stdout == b"one by one\n"
        assert (await pool.run(chained["inner"], "echo shared")).stdout == b"shared\n"
    assert server.count(ACCEPTED) == 6


async def test_two_hops_in_the_ssh_config(server: OpenSshServer, key: ClientKey, own_home: Path) -> None:
    one, two, three = server.addresses[:3]
    names = "".join(f"[{address}]:{server.port} {server.host_key()}\n" for address in (one, two, three))
    (own_home / ".ssh" / "known_hosts").write_text(names)
    (own_home / ".ssh" / "config").write_text(
        f"Host one\n  HostName {one}\n"
        f"Host two\n  HostName {two}\n  ProxyJump one\n"
        f"Host three\n  HostName {three}\n  ProxyJump two\n"
        f"Host one two three\n  Port {server.port}\n  User {server.user}\n  IdentityFile {key.path}\n"
    )
    async with Pool() as pool:
        done = await pool.run(replace(NOBODY, name="host", address="three"), "echo $HOME")

    assert done.stdout.decode().strip() == str(server.home(three))
    assert server.count(ACCEPTED) == 3


async def test_a_jump_host_is_looked_up_as_it_is_written(
    server: OpenSshServer, key: ClientKey, inner: Host, own_home: Path
) -> None:
    (own_home / ".ssh" / "known_hosts").write_text(f"[{server.address}]:{server.port} {server.host_key()}\n")
    (own_home / ".ssh" / "config").write_text(
        f"Host Gate\n  HostName {server.address}\n  Port {server.port}\n  User {server.user}\n"
    )
    async with Pool() as pool:
        assert (await pool.run(replace(inner, jump="Gate"), "echo in")).stdout == b"in\n"


@pytest.mark.parametrize(
    ("jump", "user", "address", "port"),
    [
        ("Gate", "", "Gate", 0),
        ("me@gate:2222", "me", "gate", 2222),
        ("me@lan.example@gate", "me@lan.example", "gate", 0),
        ("ssh://me@gate:2222", "me", "gate", 2222),
        ("me@[fe80::1%eth0]:2222", "me", "fe80::1%eth0", 2222),
    ],
)
def test_a_jump_host_that_is_written_out_may_have_a_user_and_a_port(
    own_home: Path, jump: str, user: str, address: str, port: int
) -> None:
    host = replace(NOBODY, jump=jump)
    hop = next_hop(host, read_settings(host, lambda _: None), lambda _: None)

    assert hop is not None
    assert (hop.user, hop.address, hop.port) == (user, address, port)


async def test_a_jump_of_none_overrides_the_ssh_config(server: OpenSshServer, inner: Host, own_home: Path) -> None:
    (own_home / ".ssh" / "config").write_text("Host *\n  ProxyJump nowhere.invalid\n")
    async with Pool() as pool:
        assert (await pool.run(replace(inner, jump="none"), "echo direct")).stdout == b"direct\n"


async def test_a_jump_host_that_hangs_up_whenever_it_is_to_pass_on_is_named(key: ClientKey) -> None:
    class Rude(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            self._connection = conn

        def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
            self._connection.abort()
            return False

    host_key = asyncssh.generate_private_key("ssh-ed25519")  # pyright: ignore[reportUnknownMemberType]
    allowed = asyncssh.import_authorized_keys(key.public)
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=Rude, server_host_keys=[host_key], authorized_client_keys=allowed, config=None
    )
    pinned = host_key.export_public_key("openssh").decode()
    rude = replace(NOBODY, name="rude", address="127.0.0.1", port=server.get_port(), ssh_key=key.path, host_key=pinned)
    behind = replace(rude, name="behind", port=22, jump="rude", host_key="")
    async with server, Pool({"rude": rude}.get) as pool:
        for reach in (partial(pool.run, command="true"), pool.offered_key):
            with pytest.raises(HostError, match="jump host rude") as failure:
                await reach(behind)
            assert (failure.value.host, failure.value.reason) == ("behind", Reason.UNREACHABLE)


async def test_jump_hosts_in_a_circle_are_refused_from_whichever_end(gate: Host, inner: Host) -> None:
    fleet = {"gate": replace(gate, jump="inner"), "inner": replace(inner, jump="gate")}
    with anyio.fail_after(10):
        async with Pool(fleet.get) as pool:
            failures = await asyncio.gather(
                *(pool.run(host, "true") for host in fleet.values() for _ in range(3)), return_exceptions=True
            )

    assert {error.reason for error in failures if isinstance(error, HostError)} == {Reason.UNREACHABLE}
    assert "in a circle: gate -> inner -> gate" in str(failures[0])
    assert "in a circle: inner -> gate -> inner" in str(failures[-1])


async def test_a_host_that_is_its_own_jump_host_is_refused(gate: Host) -> None:
    itself = replace(gate, jump="gate")
    async with Pool({"gate": itself}.get) as pool:
        with pytest.raises(HostError, match="in a circle"):
            await pool.run(itself, "true")


async def test_what_has_the_address_of_its_jump_host_may_be_another_machine(gate: Host, inner: Host) -> None:
    """Behind it, in a network of its own."""
    async with Pool({"gate": gate}.get) as pool:
        twin = replace(inner, address=gate.address, jump="gate")
        assert (await pool.run(twin, "echo in")).stdout == b"in\n"


async def test_what_fails_at_the_jump_host_is_told_of_the_host_behind_it(gate: Host, inner: Host) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        dead = replace(gate, address="127.0.0.1", port=sock.getsockname()[1])
        async with Pool({"gate": dead}.get) as pool:
            with pytest.raises(HostError) as caught:
                await pool.run(replace(inner, jump="gate"), "true")

    assert (caught.value.host, caught.value.reason, caught.value.retryable) == ("inner", Reason.UNREACHABLE, True)
    assert caught.value.message.startswith("inner: jump host gate: can't reach 127.0.0.1")


async def test_what_the_jump_host_can_not_reach_is_told_as_such(gate: Host, inner: Host) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        off = replace(inner, address="127.0.0.1", port=sock.getsockname()[1], jump="gate")
        async with Pool({"gate": gate}.get) as pool:
            with pytest.raises(HostError) as caught:
                await pool.run(off, "true")
            assert (await pool.run(gate, "true")).exit_status == 0

    assert caught.value.reason is Reason.UNREACHABLE
    assert f"the jump host can't reach 127.0.0.1:{off.port}" in caught.value.message


async def test_a_jump_that_makes_no_sense(inner: Host) -> None:
    async with Pool() as pool:
        for jump in ("user@:x", "gate:65536", "user@fe80::1", "user@"):
            with pytest.raises(HostError, match="not a name of a fleet host") as caught:
                await pool.run(replace(inner, jump=jump), "true")
            assert caught.value.reason is Reason.UNREACHABLE


async def test_a_jump_host_stays_as_long_as_somebody_is_behind_it_and_goes_when_idle(
    server: OpenSshServer, gate: Host, inner: Host
) -> None:
    short = {"gate": replace(gate, idle_timeout=0.05)}
    async with Pool(short.get) as pool:
        host = replace(inner, jump="gate", idle_timeout=0.05)
        assert (await pool.run(host, "sleep 0.5; echo late")).stdout == b"late\n"
        assert server.count("Disconnected from user") == 0
        with anyio.fail_after(10):
            await server.logged("Disconnected from user", times=2)


async def test_a_key_is_looked_at_through_a_jump_host(server: OpenSshServer, gate: Host, inner: Host) -> None:
    async with Pool({"gate": gate}.get) as pool:
        offered = await pool.offered_key(replace(inner, jump="gate", host_key=""))

    assert offered.text == server.host_key()


async def test_a_dropbear_is_a_jump_host_too(tmp_path: Path, key: ClientKey, inner: Host) -> None:
    async with DropbearServer(tmp_path / "dropbear", authorized_key=key.public) as dropbear:
        gate = dropbear.host("gate", ssh_key=key.path)
        async with Pool({"gate": gate}.get) as pool:
            assert (await pool.run(replace(inner, jump="gate"), "echo through")).stdout == b"through\n"
