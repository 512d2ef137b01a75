"""Files that are carried to a host, or can't be."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
from tests.servers import ClientKey, OpenSshServer

from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.transport import LocalFile, Pool, upload
from picoclaw_fleet.transport.upload import PIECE


@pytest.fixture
def content() -> bytes:
    return os.urandom(40 * PIECE + 1)


@pytest.fixture
def file(tmp_path: Path, content: bytes) -> Iterator[LocalFile]:
    (tmp_path / "program").write_bytes(content)
    file = LocalFile(tmp_path / "program")
    yield file
    file.close()


async def test_a_file_arrives_for_its_owner_only_and_progress_is_told(
    server: OpenSshServer, key: ClientKey, pool: Pool, file: LocalFile, content: bytes, tmp_path: Path
) -> None:
    told: list[int] = []
    await upload(pool, server.host(ssh_key=key.path), file, str(tmp_path / "it's here"), told.append)

    assert (tmp_path / "it's here").read_bytes() == content
    assert stat.S_IMODE((tmp_path / "it's here").stat().st_mode) == 0o600
    assert told == [*range(PIECE, len(content), PIECE), len(content)]
    assert file.size == len(content)


async def test_several_hosts_get_the_same_file_at_once(
    server: OpenSshServer, key: ClientKey, pool: Pool, file: LocalFile, content: bytes, tmp_path: Path
) -> None:
    told: list[int] = []
    async with anyio.create_task_group() as tasks:
        for name in ("one", "two", "three"):
            host = server.host(name, ssh_key=key.path)
            tasks.start_soon(upload, pool, host, file, str(tmp_path / name), told.append)

    assert {(tmp_path / name).read_bytes() for name in ("one", "two", "three")} == {content}
    assert told.count(file.size) == 3


@pytest.mark.parametrize(("path", "reason"), [("/dev/full", Reason.DISK_FULL), ("/proc/x", Reason.HOME_NOT_WRITABLE)])
async def test_a_file_that_can_t_be_written_is_told(
    server: OpenSshServer, key: ClientKey, pool: Pool, file: LocalFile, path: str, reason: Reason
) -> None:
    with pytest.raises(HostError) as caught:
        await upload(pool, server.host(ssh_key=key.path), file, path, lambda _: None)
    assert caught.value.reason is reason


async def test_an_upload_that_is_cancelled_leaves_the_connection_usable(
    server: OpenSshServer, key: ClientKey, pool: Pool, file: LocalFile, content: bytes, tmp_path: Path
) -> None:
    host = server.host(ssh_key=key.path)
    there = tmp_path / "there"
    with anyio.CancelScope() as scope:
        await upload(pool, host, file, str(there), lambda _: scope.cancel())
    assert scope.cancelled_caught
    # The host may not have come to make the file.
    assert not there.exists() or there.read_bytes() != content

    await upload(pool, host, file, str(tmp_path / "again"), lambda _: None)

    assert (tmp_path / "again").read_bytes() == content
    assert server.count("Accepted publickey") == 1
