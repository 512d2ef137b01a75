"""No empty message is sent, but for the ciphers that they were made for."""

from __future__ import annotations

from pathlib import Path

from tests.servers import ClientKey, OpenSshServer

from picoclaw_fleet.transport import Pool

EMPTY = "Received SSH2_MSG_IGNORE"


async def test_a_host_gets_no_empty_messages(pool: Pool, tmp_path: Path, key: ClientKey) -> None:
    async with OpenSshServer(tmp_path / "sshd", authorized_key=key.public, config=["LogLevel DEBUG3"]) as server:
        done = await pool.run(server.host(ssh_key=key.path), "cat", stdin=b"words")
        await server.logged("Close session: user")

    assert done.stdout == b"words"
    assert server.count(EMPTY) == 0


async def test_a_cbc_cipher_keeps_them_since_they_hide_what_its_next_block_depends_on(
    pool: Pool, tmp_path: Path, key: ClientKey, own_home: Path
) -> None:
    (own_home / ".ssh/config").write_text("Ciphers aes128-cbc\n")
    settings = ["LogLevel DEBUG3", "Ciphers aes128-cbc"]
    async with OpenSshServer(tmp_path / "sshd", authorized_key=key.public, config=settings) as server:
        done = await pool.run(server.host(ssh_key=key.path), "cat", stdin=b"words")
        await server.logged(EMPTY, times=5)

    assert done.stdout == b"words"
