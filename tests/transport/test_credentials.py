"""Keys, passphrases, certificates and the agent, on a real sshd with a real ssh-agent."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
import pytest
from tests.servers import ClientKey, OpenSshServer, required

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.transport import Pool

SECRET = "correct horse battery"


STUB = """\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAASgAAABpzay1zc2
gtZWQyNTUxOUBvcGVuc3NoLmNvbQAAACAfczETA3HrY7VZDC3JX0ec8CAb/R8enCT/uEhI
x3TKOwAAAARzc2g6AAAAcHd8mU93fJlPAAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY2
9tAAAAIB9zMRMDcetjtVkMLclfR5zwIBv9Hx6cJP+4SEjHdMo7AAAABHNzaDoBAAAAEATo
Uc4O3yidC95aYCUuMyQAAAAAAAAAAAE=
-----END OPENSSH PRIVATE KEY-----
"""
"""As ssh-keygen -t ed25519-sk writes it: a name for a key in a device that we don't have."""
STUB_PUBLIC = (
    "sk-ssh-ed25519@openssh.com "
    "AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIB9zMRMDcetjtVkMLclfR5zwIBv9Hx6cJP+4SEjHdMo7AAAABHNzaDo="
)


@pytest.fixture
def host(server: OpenSshServer) -> Host:
    """A host without a key in the fleet config."""
    return server.host(ssh_key=None)


async def test_a_key_that_the_host_does_not_know_is_named_with_the_user(
    pool: Pool, server: OpenSshServer, own_home: Path
) -> None:
    stranger = ClientKey.make(own_home / "stranger")

    denied = await failure(pool, server.host(ssh_key=stranger.path))

    assert (denied.reason, denied.retryable) == (Reason.AUTH_FAILED, False)
    assert f"does not let user {server.user} in: tried {stranger.path}" in denied.message
    assert "authorized_keys" in denied.next_step


async def test_a_user_that_the_host_does_not_know(pool: Pool, server: OpenSshServer, key: ClientKey) -> None:
    denied = await failure(pool, replace(server.host(ssh_key=key.path), user="nobody-here"))

    assert denied.reason is Reason.AUTH_FAILED
    assert "user nobody-here" in denied.message


async def test_a_key_file_that_is_missing_unreadable_or_no_key_is_named(
    pool: Pool, server: OpenSshServer, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "letter").write_text("Dear key,\n")

    missing, folder, letter = [
        await failure(pool, server.host(name, ssh_key=tmp_path / name)) for name in ("missing", "folder", "letter")
    ]

    assert {error.reason for error in (missing, folder, letter)} == {Reason.AUTH_FAILED}
    assert f"the key {tmp_path / 'missing'} does not exist" in missing.message
    assert f"the key {tmp_path / 'folder'} can't be read" in folder.message
    assert f"the key {tmp_path / 'letter'} can't be used" in letter.message
    assert server.count("Connection from") == 0


async def test_a_key_in_a_security_key_is_left_to_the_agent(
    pool: Pool, host: Host, server: OpenSshServer, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = own_home / ".ssh" / "id_ed25519_sk"
    stub.write_text(STUB)
    (server.folder / "authorized_keys").write_text(STUB_PUBLIC)

    usual = await failure(pool, host)
    named = await failure(pool, replace(host, name="named", ssh_key=stub))
    async with agent(monkeypatch):
        absent = await failure(pool, replace(host, name="absent"))

    assert {error.reason for error in (usual, named, absent)} == {Reason.AUTH_FAILED}
    assert f"{stub} is in a security key" in usual.message
    assert named.message.startswith(f"named: the key {stub} is in a security key")
    assert "add the key to an ssh-agent" in named.next_step
    assert f"{stub} is in a security key, and the ssh-agent does not hold it" in absent.message


async def test_a_public_key_that_is_named_as_the_private_one_is_not_said_to_have_a_passphrase(
    pool: Pool, server: OpenSshServer, key: ClientKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = Path(f"{key.path}.pub")

    alone = await failure(pool, server.host(ssh_key=public))
    async with agent(monkeypatch):
        absent = await failure(pool, server.host("other", ssh_key=public))

    assert alone.message.endswith(f"the key {public} holds no private key.")
    assert alone.next_step.startswith("Name the private key as ssh_key")
    assert f"{public} holds no private key, and the ssh-agent does not hold it" in absent.message


async def test_the_usual_files_are_tried_when_no_key_is_named(
    pool: Pool, server: OpenSshServer, host: Host, own_home: Path
) -> None:
    (server.folder / "authorized_keys").write_text(ClientKey.make(own_home / ".ssh", "id_ed25519").public)

    assert (await pool.run(host, "true")).exit_status == 0


async def test_without_any_key_the_error_says_so(pool: Pool, host: Host) -> None:
    denied = await failure(pool, host)

    assert denied.reason is Reason.AUTH_FAILED
    assert "no key was offered" in denied.message


async def test_a_key_that_is_replaced_on_disk_is_read_again(pool: Pool, server: OpenSshServer, own_home: Path) -> None:
    path = ClientKey.make(own_home / "changing").path
    assert (await failure(pool, server.host(ssh_key=path))).reason is Reason.AUTH_FAILED

    path.unlink()
    renewed = ClientKey.make(own_home / "changing")
    (server.folder / "authorized_keys").write_text(renewed.public)

    assert (await pool.run(server.host(ssh_key=path), "true")).exit_status == 0


async def test_a_passphrase_comes_from_the_environment_and_never_shows(
    pool: Pool, server: OpenSshServer, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = ClientKey.make(own_home / "locked", passphrase=SECRET)
    (server.folder / "authorized_keys").write_text(locked.public)
    without = server.host(ssh_key=locked.path)
    host = replace(without, key_passphrase_env="FLEET_PASSPHRASE")

    unnamed = await failure(pool, without)
    unset = await failure(pool, host)
    monkeypatch.setenv("FLEET_PASSPHRASE", f"{SECRET} staple")
    wrong = await failure(pool, host)
    monkeypatch.setenv("FLEET_PASSPHRASE", SECRET)
    assert (await pool.run(host, "true")).exit_status == 0

    assert {error.reason for error in (unnamed, unset, wrong)} == {Reason.AUTH_FAILED}
    assert "key_passphrase_env" in unnamed.next_step
    assert "FLEET_PASSPHRASE is not set" in unset.message
    assert f"FLEET_PASSPHRASE does not open the key {locked.path}" in wrong.message
    assert SECRET not in f"{unnamed}{unset}{wrong}"


async def test_the_agent_holds_the_key(pool: Pool, host: Host, key: ClientKey, monkeypatch: pytest.MonkeyPatch) -> None:
    async with agent(monkeypatch, key):
        assert (await pool.run(host, "true")).exit_status == 0


async def test_the_agent_opens_a_key_that_is_protected_by_a_passphrase(
    pool: Pool, server: OpenSshServer, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked = ClientKey.make(own_home / "locked", passphrase=SECRET)
    (server.folder / "authorized_keys").write_text(locked.public)
    async with agent(monkeypatch):
        absent = await failure(pool, server.host(ssh_key=locked.path))
        assert "the ssh-agent does not hold it" in absent.message

        subprocess.run(["ssh-keygen", "-q", "-p", "-P", SECRET, "-N", "", "-f", str(locked.path)], check=True)
        subprocess.run([required("ssh-add"), "-q", str(locked.path)], check=True)
        subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", SECRET, "-f", str(locked.path)], check=True)
        assert (await pool.run(server.host(ssh_key=locked.path), "true")).exit_status == 0


async def test_a_named_key_is_shown_alone_however_many_the_agent_holds(
    pool: Pool, server: OpenSshServer, key: ClientKey, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strangers = [ClientKey.make(own_home / f"stranger{n}") for n in range(7)]
    async with agent(monkeypatch, *strangers):
        assert (await pool.run(server.host(ssh_key=key.path), "true")).exit_status == 0
        too_many = await failure(pool, server.host("other", ssh_key=None))

    assert too_many.reason is Reason.AUTH_FAILED
    assert "name the right one as ssh_key" in too_many.next_step


async def test_an_agent_that_is_gone_is_named_when_there_was_no_other_way(
    pool: Pool, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nowhere/agent")

    denied = await failure(pool, host)

    assert denied.reason is Reason.AUTH_FAILED
    assert "the ssh-agent at /nowhere/agent does not answer" in denied.message


async def test_an_agent_that_hangs_is_done_without(
    pool: Pool, host: Host, server: OpenSshServer, key: ClientKey, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as mute:
        mute.bind(f"{folder}/sock")
        mute.listen()
        monkeypatch.setenv("SSH_AUTH_SOCK", f"{folder}/sock")

        denied = await failure(pool, host)
        assert denied.reason is Reason.AUTH_FAILED
        assert f"the ssh-agent at {folder}/sock does not answer (not within" in denied.message

        key.path.rename(own_home / ".ssh" / "id_ed25519")
        assert (await pool.run(host, "true")).exit_status == 0


async def test_an_agent_that_asks_for_leave_and_gets_none_is_named(
    pool: Pool, host: Host, key: ClientKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_ASKPASS", "/bin/false")
    monkeypatch.setenv("DISPLAY", ":nowhere")
    async with agent(monkeypatch):
        subprocess.run([required("ssh-add"), "-q", "-c", str(key.path)], check=True, stderr=subprocess.DEVNULL)
        denied = await failure(pool, host)

    assert denied.reason is Reason.AUTH_FAILED
    assert "the ssh-agent did not sign" in denied.message


async def test_an_agent_that_waits_for_leave_is_named(
    pool: Pool, host: Host, key: ClientKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = tmp_path / "ask"
    ask.write_text("#!/bin/sh\nexec sleep 30\n")
    ask.chmod(0o755)
    monkeypatch.setenv("SSH_ASKPASS", str(ask))
    monkeypatch.setenv("DISPLAY", ":nowhere")
    async with agent(monkeypatch):
        subprocess.run([required("ssh-add"), "-q", "-c", str(key.path)], check=True, stderr=subprocess.DEVNULL)
        late = await failure(pool, replace(host, connect_timeout=1))

    assert late.reason is Reason.CONNECT_TIMEOUT
    assert "the ssh-agent did not sign" in late.message


@pytest.fixture
async def certified(tmp_path: Path) -> AsyncGenerator[OpenSshServer]:
    """A server that lets in whom an authority vouches for, and nobody else."""
    authority = ClientKey.make(tmp_path / "authority", "ca")
    config = [f"TrustedUserCAKeys {authority.path}.pub"]
    async with OpenSshServer(tmp_path / "certified", authorized_key="", config=config) as server:
        yield server


async def test_a_certificate_beside_the_key_lets_in(
    pool: Pool, certified: OpenSshServer, key: ClientKey, tmp_path: Path
) -> None:
    host = certified.host(ssh_key=key.path)
    assert (await failure(pool, host)).reason is Reason.AUTH_FAILED

    certify(tmp_path / "authority" / "ca", key, principal=certified.user)

    assert (await pool.run(host, "true")).exit_status == 0


async def test_a_certificate_may_lie_elsewhere_but_has_to_be_for_the_key(
    pool: Pool, certified: OpenSshServer, key: ClientKey, tmp_path: Path
) -> None:
    certificate = certify(tmp_path / "authority" / "ca", key, principal=certified.user).rename(tmp_path / "cert.pub")
    host = replace(certified.host(ssh_key=key.path), certificate=certificate)
    assert (await pool.run(host, "true")).exit_status == 0

    other = ClientKey.make(tmp_path / "other")
    mismatch = await failure(pool, replace(host, name="two", ssh_key=other.path))
    missing = await failure(pool, replace(host, name="three", certificate=tmp_path / "none"))
    (tmp_path / "junk").write_text("junk")
    junk = await failure(pool, replace(host, name="four", certificate=tmp_path / "junk"))

    assert {error.reason for error in (mismatch, missing, junk)} == {Reason.AUTH_FAILED}
    assert f"the certificate {certificate} was not issued for the key {other.path}" in mismatch.message
    assert f"the certificate {tmp_path / 'none'} can't be used" in missing.message
    assert f"the certificate {tmp_path / 'junk'} can't be used" in junk.message


async def test_an_expired_certificate_is_named(
    pool: Pool, certified: OpenSshServer, key: ClientKey, tmp_path: Path
) -> None:
    certify(tmp_path / "authority" / "ca", key, principal=certified.user, valid="20200101:20200102")

    denied = await failure(pool, certified.host(ssh_key=key.path))

    assert denied.reason is Reason.AUTH_FAILED
    assert f"the certificate for {key.path} can't be used: Certificate expired" in denied.message


async def failure(pool: Pool, host: Host) -> HostError:
    with pytest.raises(HostError) as caught:
        await pool.run(host, "true")
    return caught.value


def certify(authority: Path, key: ClientKey, *, principal: str, valid: str = "always:forever") -> Path:
    command = ["-q", "-s", str(authority), "-I", "test", "-n", principal, "-V", valid, f"{key.path}.pub"]
    subprocess.run([required("ssh-keygen"), *command], check=True, capture_output=True)
    return Path(f"{key.path}-cert.pub")


@asynccontextmanager
async def agent(monkeypatch: pytest.MonkeyPatch, *keys: ClientKey) -> AsyncGenerator[None]:
    """A real ssh-agent that holds `keys`."""
    program = required("ssh-agent")
    # A socket's path has to be short, and tmp_path is not.
    with TemporaryDirectory() as folder:
        async with await anyio.open_process([program, "-D", "-a", f"{folder}/sock"], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            # It announces its socket once it listens there.
            assert b"SSH_AUTH_SOCK" in await process.stdout.receive()
            monkeypatch.setenv("SSH_AUTH_SOCK", f"{folder}/sock")
            try:
                for key in keys:
                    subprocess.run([required("ssh-add"), "-q", str(key.path)], check=True)
                yield
            finally:
                process.terminate()
