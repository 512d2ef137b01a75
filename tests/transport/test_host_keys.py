"""Which host keys are accepted, and what is said about the others."""

from __future__ import annotations

import asyncio
import subprocess
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest
from tests.servers import ClientKey, OpenSshServer, make_host_key, required

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.transport import Pool, trust


@pytest.fixture
def known_hosts(own_home: Path) -> Path:
    return own_home / ".ssh" / "known_hosts"


@pytest.fixture
def host(server: OpenSshServer, key: ClientKey) -> Host:
    """A host whose key is not pinned."""
    return server.host(ssh_key=key.path, host_key="")


async def test_an_unknown_key_is_refused_with_its_fingerprint_and_the_command_that_trusts_it(
    pool: Pool, server: OpenSshServer, host: Host
) -> None:
    unknown = await failure(pool, host)

    assert unknown.reason is Reason.HOST_KEY_UNKNOWN
    assert f"ssh-ed25519 key {fingerprint(server.folder / 'host_ed25519.pub')}" in unknown.message
    assert "picoclaw-fleet trust one" in unknown.next_step


async def test_a_key_is_trusted_after_a_look_at_it(
    pool: Pool, server: OpenSshServer, host: Host, known_hosts: Path
) -> None:
    offered = await pool.offered_key(host)
    assert (offered.type, offered.fingerprint) == ("ssh-ed25519", fingerprint(server.folder / "host_ed25519.pub"))
    assert offered.text == server.host_key()

    trust(offered)
    trust(offered)

    assert (await pool.run(host, "echo in")).stdout == b"in\n"
    assert known_hosts.read_text() == f"[{server.address}]:{server.port} {server.host_key()}\n"
    assert known_hosts.stat().st_mode & 0o777 == 0o600
    found = subprocess.run(
        [required("ssh-keygen"), "-F", f"[{server.address}]:{server.port}", "-f", str(known_hosts)], capture_output=True
    )
    assert found.returncode == 0


async def test_trusting_does_not_join_a_line_that_has_no_end(pool: Pool, host: Host, known_hosts: Path) -> None:
    known_hosts.write_text(f"elsewhere {another_key()}")

    trust(await pool.offered_key(host))

    assert len(known_hosts.read_text().splitlines()) == 2
    assert (await pool.run(host, "true")).exit_status == 0


async def test_accept_new_writes_the_key_down_once_and_is_strict_from_then_on(
    pool: Pool, server: OpenSshServer, host: Host, known_hosts: Path, own_home: Path
) -> None:
    easy = replace(host, host_key_policy="accept-new")
    assert (await pool.run(easy, "true")).exit_status == 0
    assert known_hosts.read_text() == f"[{server.address}]:{server.port} {server.host_key()}\n"

    async with Pool() as later:
        assert (await later.run(host, "true")).exit_status == 0
        known_hosts.write_text(f"[{server.address}]:{server.port} {another_key()}\n")
        changed = await failure(later, replace(easy, name="again"))

    assert changed.reason is Reason.HOST_KEY_CHANGED


async def test_accept_new_writes_the_key_down_even_if_the_host_does_not_let_us_in(
    pool: Pool, server: OpenSshServer, host: Host, known_hosts: Path, own_home: Path
) -> None:
    stranger = ClientKey.make(own_home / "stranger")

    denied = await failure(pool, replace(host, host_key_policy="accept-new", ssh_key=stranger.path))

    assert denied.reason is Reason.AUTH_FAILED
    assert server.host_key() in known_hosts.read_text()


async def test_accept_new_is_refused_where_the_key_can_not_be_written_down(
    pool: Pool, host: Host, own_home: Path
) -> None:
    (own_home / "a-file").touch()
    blocked = own_home / "a-file" / "known_hosts"

    refused = await failure(pool, replace(host, host_key_policy="accept-new", known_hosts=blocked))

    assert refused.reason is Reason.HOST_KEY_UNKNOWN
    assert f"can't be written to {blocked}" in refused.message


@pytest.mark.parametrize("policy", ["strict", "accept-new"])
async def test_a_changed_key_is_refused_with_both_fingerprints_and_the_line_of_the_old_one(
    pool: Pool, server: OpenSshServer, host: Host, known_hosts: Path, tmp_path: Path, policy: str
) -> None:
    old = another_key()
    (tmp_path / "old.pub").write_text(old)
    known_hosts.write_text(f"# mine\nelsewhere {another_key()}\n[{server.address}]:{server.port} {old}\n")

    changed = await failure(pool, replace(host, host_key_policy=policy))

    assert changed.reason is Reason.HOST_KEY_CHANGED
    assert fingerprint(server.folder / "host_ed25519.pub") in changed.message
    assert f"{known_hosts}:3 ({fingerprint(tmp_path / 'old.pub')})" in changed.message


async def test_a_changed_key_is_not_offered_to_be_trusted_wherever_its_name_is_hashed_or_not(
    pool: Pool, server: OpenSshServer, host: Host, known_hosts: Path, tmp_path: Path
) -> None:
    old = another_key()
    (tmp_path / "old.pub").write_text(old)
    for hashed in (False, True):
        known_hosts.write_text(f"# mine\n[{server.address}]:{server.port} {old}\n")
        if hashed:
            hash_names(known_hosts)

        changed = await not_offered(pool, host)

        assert changed.reason is Reason.HOST_KEY_CHANGED
        assert fingerprint(server.folder / "host_ed25519.pub") in changed.message
        assert f"{known_hosts}:2 ({fingerprint(tmp_path / 'old.pub')})" in changed.message
        assert "Compare the new key" in changed.next_step
        assert "remove the old line and try again" in changed.next_step


async def test_a_key_of_another_type_than_the_known_one_is_not_offered_to_be_trusted_either(
    pool: Pool, server: OpenSshServer, host: Host, known_hosts: Path
) -> None:
    known_hosts.write_text(f"[{server.address}]:{server.port} {another_key('ecdsa-sha2-nistp256')}\n")

    assert (await not_offered(pool, host)).reason is Reason.HOST_KEY_CHANGED
    assert (await failure(pool, host)).reason is Reason.HOST_KEY_CHANGED


async def test_of_several_keys_the_known_one_is_shown_and_said_to_be_known(
    pool: Pool, tmp_path: Path, key: ClientKey, known_hosts: Path
) -> None:
    async with OpenSshServer(
        tmp_path / "sshd", authorized_key=key.public, host_keys=("ed25519", "ecdsa", "rsa")
    ) as server:
        host = server.host(ssh_key=key.path, host_key="")
        first = await pool.offered_key(host)
        known_hosts.write_text(f"[{server.address}]:{server.port} {server.host_key('ecdsa')}\n")
        second = await pool.offered_key(host)
        pinned = await pool.offered_key(replace(host, host_key=server.host_key("rsa")))

    assert (first.known, first.type) == (False, "ssh-ed25519")
    assert (second.known, second.text) == (True, server.host_key("ecdsa"))
    assert (pinned.known, pinned.text) == (True, server.host_key("rsa"))


async def test_a_revoked_key_is_not_offered_to_be_trusted(
    pool: Pool, server: OpenSshServer, host: Host, known_hosts: Path
) -> None:
    known_hosts.write_text(f"@revoked [{server.address}]:{server.port} {server.host_key()}\n")

    revoked = await not_offered(pool, host)

    assert revoked.reason is Reason.HOST_KEY_CHANGED
    assert "revoked" in revoked.message


async def test_that_an_old_key_is_revoked_does_not_speak_against_the_new_one(
    pool: Pool, server: OpenSshServer, host: Host, known_hosts: Path
) -> None:
    known_hosts.write_text(f"@revoked [{server.address}]:{server.port} {another_key()}\n")

    trust(await pool.offered_key(host))

    assert (await pool.run(host, "true")).exit_status == 0


async def test_where_another_key_is_pinned_none_is_offered_to_be_trusted(
    pool: Pool, server: OpenSshServer, host: Host
) -> None:
    changed = await not_offered(pool, replace(host, host_key=another_key()))

    assert changed.reason is Reason.HOST_KEY_CHANGED
    assert "change host_key in the fleet config" in changed.next_step


async def test_a_known_hosts_file_of_the_fleet_config_replaces_the_usual_ones(
    pool: Pool, server: OpenSshServer, host: Host, known_hosts: Path, tmp_path: Path
) -> None:
    known_hosts.write_text(f"[{server.address}]:{server.port} {another_key()}\n")
    ours = tmp_path / "fleet_known_hosts"
    ours.write_text(f"[{server.address}]:{server.port} {server.host_key()}\n")

    assert (await pool.run(replace(host, known_hosts=ours), "true")).exit_status == 0


async def test_a_hashed_name_is_found(pool: Pool, server: OpenSshServer, host: Host, known_hosts: Path) -> None:
    known_hosts.write_text(f"[{server.address}]:{server.port} {server.host_key()}\n")
    hash_names(known_hosts)

    assert (await pool.run(host, "true")).exit_status == 0


async def test_a_line_that_makes_no_sense_does_not_hide_the_others(
    pool: Pool, server: OpenSshServer, host: Host, known_hosts: Path
) -> None:
    known_hosts.write_text(f"nonsense\n|1|x|y ssh-rsa AAAA\n[{server.address}]:{server.port} {server.host_key()}\n")

    assert (await pool.run(host, "true")).exit_status == 0


async def test_a_revoked_key_is_refused_although_it_is_known(
    pool: Pool, server: OpenSshServer, host: Host, known_hosts: Path
) -> None:
    known_hosts.write_text(f"[{server.address}]:{server.port} {server.host_key()}\n@revoked * {server.host_key()}\n")

    revoked = await failure(pool, replace(host, host_key_policy="accept-new"))

    assert revoked.reason is Reason.HOST_KEY_CHANGED
    assert "revoked" in revoked.message


async def test_another_key_for_the_name_without_the_port_is_no_change(
    pool: Pool, server: OpenSshServer, host: Host, known_hosts: Path
) -> None:
    known_hosts.write_text(f"{server.address} {another_key()}\n")

    assert (await failure(pool, host)).reason is Reason.HOST_KEY_UNKNOWN
    assert not (await pool.offered_key(host)).known


async def test_a_key_for_the_name_without_the_port_is_good_for_every_port(
    pool: Pool, server: OpenSshServer, host: Host, known_hosts: Path
) -> None:
    known_hosts.write_text(f"{server.address} {server.host_key()}\n")
    assert (await pool.offered_key(host)).known

    assert (await pool.run(host, "true")).exit_status == 0


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
async def test_the_host_is_asked_for_the_type_of_key_that_is_known(
    pool: Pool, tmp_path: Path, key: ClientKey, known_hosts: Path, kind: str
) -> None:
    kinds = ("ed25519", "ecdsa", "rsa")
    async with OpenSshServer(tmp_path / "sshd", authorized_key=key.public, host_keys=kinds) as server:
        known_hosts.write_text(f"[{server.address}]:{server.port} {server.host_key(kind)}\n")
        host = server.host(ssh_key=key.path, host_key="")

        assert (await pool.run(host, "true")).exit_status == 0
        assert (await pool.run(replace(host, name="two", host_key=server.host_key(kind)), "true")).exit_status == 0


async def test_a_pinned_fingerprint_counts_and_known_hosts_does_not(
    pool: Pool, server: OpenSshServer, host: Host, known_hosts: Path
) -> None:
    known_hosts.write_text(f"[{server.address}]:{server.port} {another_key()}\n")
    pinned = fingerprint(server.folder / "host_ed25519.pub")

    assert (await pool.run(replace(host, host_key=pinned), "true")).exit_status == 0


@pytest.mark.parametrize("as_fingerprint", [False, True])
async def test_a_key_other_than_the_pinned_one_is_refused_although_it_is_known(
    pool: Pool, server: OpenSshServer, host: Host, known_hosts: Path, tmp_path: Path, as_fingerprint: bool
) -> None:
    known_hosts.write_text(f"[{server.address}]:{server.port} {server.host_key()}\n")
    (tmp_path / "pinned.pub").write_text(another_key())
    expected = fingerprint(tmp_path / "pinned.pub")
    pinned = expected if as_fingerprint else (tmp_path / "pinned.pub").read_text()

    changed = await failure(pool, replace(host, host_key=pinned, host_key_policy="accept-new"))

    assert changed.reason is Reason.HOST_KEY_CHANGED
    assert expected in changed.message
    assert fingerprint(server.folder / "host_ed25519.pub") in changed.message


async def test_a_host_certificate_is_as_good_as_its_authority(
    pool: Pool, tmp_path: Path, key: ClientKey, known_hosts: Path
) -> None:
    folder = tmp_path / "sshd"
    folder.mkdir()
    make_host_key(folder / "host_ed25519", "ed25519")
    make_host_key(folder / "authority", "ed25519")
    authority = " ".join((folder / "authority.pub").read_text().split()[:2])
    config = [f"HostCertificate {folder / 'host_ed25519-cert.pub'}"]
    server = OpenSshServer(folder, authorized_key=key.public, addresses=2, config=config)
    certify(folder / "authority", folder / "host_ed25519.pub", principal=server.address)
    async with server:
        host = server.host(ssh_key=key.path, host_key="")
        assert (await failure(pool, host)).reason is Reason.HOST_KEY_UNKNOWN

        known_hosts.write_text(f"@cert-authority 127.* {authority}\n")
        assert (await pool.run(host, "true")).exit_status == 0

        other = await failure(pool, replace(host, address=server.addresses[1]))
        assert other.reason is Reason.HOST_KEY_UNKNOWN
        assert "principal" in other.message


async def test_hosts_that_are_accepted_at_once_make_one_whole_line_each(
    pool: Pool, tmp_path: Path, key: ClientKey, known_hosts: Path
) -> None:
    async with OpenSshServer(tmp_path / "sshd", authorized_key=key.public, addresses=16) as server:
        hosts = [
            server.host(address, address=address, ssh_key=key.path, host_key="", host_key_policy="accept-new")
            for address in server.addresses
        ]
        await asyncio.gather(*(pool.run(host, "true") for host in hosts))

        expected = {f"[{address}]:{server.port} {server.host_key()}" for address in server.addresses}
    lines = known_hosts.read_text().splitlines()
    assert set(lines) == expected
    assert len(lines) == len(expected)


async def failure(pool: Pool, host: Host) -> HostError:
    with pytest.raises(HostError) as caught:
        await pool.run(host, "true")
    return caught.value


async def not_offered(pool: Pool, host: Host) -> HostError:
    with pytest.raises(HostError) as caught:
        await pool.offered_key(host)
    return caught.value


def hash_names(known_hosts: Path) -> None:
    subprocess.run([required("ssh-keygen"), "-q", "-H", "-f", str(known_hosts)], check=True, capture_output=True)
    assert "|1|" in known_hosts.read_text()


def another_key(kind: str = "ssh-ed25519") -> str:
    key = asyncssh.generate_private_key(kind)  # pyright: ignore[reportUnknownMemberType]
    return " ".join(key.export_public_key().decode().split()[:2])


def fingerprint(public: Path) -> str:
    """As ssh-keygen prints it."""
    printed = subprocess.run([required("ssh-keygen"), "-lf", str(public)], check=True, capture_output=True)
    return printed.stdout.decode().split()[1]


def certify(authority: Path, public: Path, *, principal: str) -> None:
    command = ["-q", "-s", str(authority), "-I", "test", "-h", "-n", principal, str(public)]
    subprocess.run([required("ssh-keygen"), *command], check=True, capture_output=True)
