"""~/.ssh/config, read by asyncssh's reader and used on real servers."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import anyio
import pytest
from tests.servers import NOBODY, ClientKey, OpenSshServer

from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.transport import Pool
from picoclaw_fleet.transport.ssh_config import Settings, read_settings

Write = Callable[[str], Path]


@pytest.fixture
def config(own_home: Path) -> Write:
    """Writes ~/.ssh/config."""
    path = own_home / ".ssh" / "config"

    def write(text: str) -> Path:
        path.write_text(dedent(text))
        return path

    return write


def settings(**fields: object) -> Settings:
    return read_settings(replace(NOBODY, **fields), lambda _: None)  # type: ignore[arg-type]


async def test_an_alias_is_all_that_the_fleet_config_needs(
    pool: Pool, server: OpenSshServer, key: ClientKey, config: Write, own_home: Path
) -> None:
    (own_home / "known").write_text(f"[{server.address}]:{server.port} {server.host_key()}\n")
    config(f"""
        Host pi
            HostName {server.address}
            Port {server.port}
            User {server.user}
            IdentityFile {key.path}
            UserKnownHostsFile ~/known
    """)

    assert (await pool.run(replace(NOBODY, name="one", address="pi"), "true")).exit_status == 0


async def test_included_files_patterns_and_match_blocks_count(config: Write, own_home: Path) -> None:
    (own_home / ".ssh" / "fleet").mkdir()
    (own_home / ".ssh" / "fleet" / "pis").write_text("Host pi-*\n  User pi\n  HostName %h.lan\n")
    config("""
        Include fleet/*
        Match host pi-1.lan
            Port 2201
        Host *
            Port 2200
    """)

    one, two = settings(address="pi-1"), settings(address="pi-2")

    assert (one.address, one.port, one.user) == ("pi-1.lan", 2201, "pi")
    assert (two.address, two.port, two.user) == ("pi-2.lan", 2200, "pi")


async def test_the_fleet_config_wins(config: Write, own_home: Path) -> None:
    config("""
        Host pi
            HostName elsewhere
            Port 1
            User somebody
            IdentityFile ~/other
            UserKnownHostsFile ~/other
    """)
    ours = own_home / "ours"

    found = settings(
        address="here", ssh_config_host="pi", port=2, user="me", ssh_key=ours, certificate=ours, known_hosts=ours
    )

    assert (found.address, found.port, found.user) == ("here", 2, "me")
    assert (found.identity_files, found.certificate_files, found.known_hosts) == ((ours,), (ours,), (ours,))
    assert found.identities_only


async def test_without_a_config_file_there_are_ssh_s_own_values(own_home: Path) -> None:
    found = settings(address="there")

    assert (found.address, found.port, found.proxy_jump, found.identity_files) == ("there", 22, "", ())
    assert found.known_hosts[0] == own_home / ".ssh" / "known_hosts"


async def test_algorithms_of_the_file_are_used_without_those_that_asyncssh_lacks(config: Write) -> None:
    config("""
        Host old
            KexAlgorithms sntrup4591761x25519-sha512@tinyssh.org,diffie-hellman-group14-sha1
            Ciphers ^aes256-ctr
            MACs +hmac-md5
            HostKeyAlgorithms -ecdsa-*
    """)

    old, new = settings(address="old").algorithms, settings(address="new").algorithms

    assert old["kex_algs"] == ("diffie-hellman-group14-sha1",)
    assert old["encryption_algs"][:2] == ("aes256-ctr", "aes128-gcm@openssh.com")
    assert old["mac_algs"] == (*new["mac_algs"], "hmac-md5")
    assert "ecdsa-sha2-nistp256" in new["server_host_key_algs"]
    assert not any(name.startswith("ecdsa-") for name in old["server_host_key_algs"])


async def test_a_file_that_can_not_be_understood_is_named_with_its_line(pool: Pool, config: Write) -> None:
    path = config("Host pi\n  Port many\n")

    with pytest.raises(HostError, match=f"{path} line 2") as caught:
        await pool.run(replace(NOBODY, address="pi"), "true")

    assert caught.value.reason is Reason.UNREACHABLE


@pytest.mark.parametrize("option", ["IdentityFile", "IdentityAgent", "CertificateFile", "UserKnownHostsFile"])
async def test_a_path_below_the_home_of_nobody_is_named(pool: Pool, config: Write, option: str) -> None:
    config(f"Host pi\n  {option} ~nobody-here/x\n")

    with pytest.raises(HostError, match=r"~/\.ssh/config can't be used: '~nobody-here/x'") as caught:
        await pool.run(replace(NOBODY, address="pi"), "true")

    assert caught.value.reason is Reason.UNREACHABLE


async def test_three_hundred_blocks_are_read_once_and_again_after_a_change(
    pool: Pool, tmp_path: Path, key: ClientKey, config: Write, own_home: Path
) -> None:
    async with OpenSshServer(tmp_path / "sshd", authorized_key=key.public, addresses=2) as server:
        blocks = "".join(f"Host h{n}\n  HostName 127.0.0.1\n  User u{n}\n" for n in range(300))
        (own_home / ".ssh" / "more").write_text(blocks + pi(server, 0))
        path = config("Include more\n")
        host = server.host(address="pi", ssh_key=key.path)
        assert (await pool.run(host, "echo $HOME")).stdout.decode().strip() == str(server.home(server.addresses[0]))

        # The same size, time and inode but nonsense inside: whoever reads it now fails.
        for file in (path, own_home / ".ssh" / "more"):
            status = file.stat()
            with file.open("r+b") as same:
                same.write(b"Port x\n")
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        cut(server)
        assert (await pool.run(host, "true")).exit_status == 0

        path.write_text(pi(server, 1))
        cut(server)
        assert (await pool.run(host, "echo $HOME")).stdout.decode().strip() == str(server.home(server.addresses[1]))


@pytest.fixture
def relay(own_home: Path) -> Path:
    """A program that passes bytes on to an address and port, and writes down its pid."""
    path = own_home / "relay.py"
    path.write_text(
        "import os, pathlib, socket, sys, threading\n"
        "pathlib.Path(__file__).with_suffix('.pid').write_text(str(os.getpid()))\n"
        "print('connecting', file=sys.stderr, flush=True)\n"
        "sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "def up():\n"
        "    while data := os.read(0, 65536): sock.sendall(data)\n"
        "threading.Thread(target=up, daemon=True).start()\n"
        "while data := sock.recv(65536): os.write(1, data)\n"
    )
    return path


@pytest.mark.parametrize("command", ["{relay} {host} {port}", "~/relay.py %h %p 2>/dev/null"])
async def test_a_proxy_command_is_the_way_to_the_host_run_by_a_shell_as_ssh_does(
    pool: Pool, server: OpenSshServer, key: ClientKey, config: Write, relay: Path, command: str
) -> None:
    command = command.format(relay=relay, host=server.address, port=server.port)
    config(f"{pi(server, 0)}  ProxyCommand {sys.executable} {command}\n")
    host = replace(server.host(ssh_key=key.path), address="pi", port=0)

    with anyio.fail_after(20):
        assert (await pool.run(host, "echo relayed")).stdout == b"relayed\n"
        await pool.aclose()

    assert not Path("/proc", relay.with_suffix(".pid").read_text()).exists(), "it outlived the pool, or is a zombie"


async def test_a_proxy_command_that_fails_is_told_as_such(
    pool: Pool, server: OpenSshServer, key: ClientKey, config: Write
) -> None:
    config(f"{pi(server, 0)}  ProxyCommand no-such-program %h %p 2>/dev/null\n")

    with pytest.raises(HostError, match="the ProxyCommand") as failed:
        await pool.run(replace(server.host(ssh_key=key.path), address="pi", port=0), "true")

    assert (failed.value.reason, failed.value.retryable) == (Reason.UNREACHABLE, True)
    assert f"ssh -v -p {server.port} {server.user}@pi" in failed.value.next_step


@pytest.mark.parametrize("nowhere", ["/dev/null", "none"])
def test_a_new_key_has_a_place_also_where_ssh_keeps_none(config: Write, own_home: Path, nowhere: str) -> None:
    config(f"Host *\n  UserKnownHostsFile {nowhere}\n")

    assert settings(address="pi").known_hosts[0] == own_home / ".ssh" / "known_hosts"


async def test_an_address_family_and_a_bind_address_are_kept_to(
    pool: Pool, server: OpenSshServer, key: ClientKey, config: Write
) -> None:
    config("Host *\n  BindAddress 127.9.9.9\n  AddressFamily inet\n")

    done = await pool.run(server.host(ssh_key=key.path), 'echo "$SSH_CONNECTION"')

    assert done.stdout.split()[0] == b"127.9.9.9"
    assert settings(address="pi").address_family == socket.AF_INET


def pi(server: OpenSshServer, number: int) -> str:
    return f"Host pi\n  HostName {server.addresses[number]}\n  Port {server.port}\n"


def cut(server: OpenSshServer) -> None:
    """Break all connections."""
    for pid in server.descendants():
        os.kill(pid, signal.SIGKILL)
