"""What the tests of the skill share: a controller, and real hosts of three kinds."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.servers import ClientKey, DropbearServer, OpenSshServer, required
from tests.skill.desk import Desk
from tests.skill.worker import Worker

from picoclaw_fleet.config.inventory import Host


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def key(tmp_path: Path) -> ClientKey:
    return ClientKey.make(tmp_path / "keys")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with tempfile.TemporaryDirectory(prefix="desk") as scratch:
        yield Desk(tmp_path / "desk", Path(scratch))


@pytest.fixture
async def worker(tmp_path: Path, key: ClientKey, desk: Desk) -> AsyncIterator[Worker]:
    """An OpenSSH host, in the desk's config as `one`."""
    async with OpenSshServer(tmp_path / "sshd", authorized_key=key.public) as server:
        host = server.host("one", ssh_key=key.path)
        desk.add(host)
        yield Worker(host, server.home())


@pytest.fixture(params=["openssh", "dropbear", "busybox"])
async def any_worker(
    request: pytest.FixtureRequest, tmp_path: Path, key: ClientKey, desk: Desk
) -> AsyncIterator[Worker]:
    """A host of each kind. On the BusyBox one there is no other program, and no SFTP."""
    folder = tmp_path / "sshd"
    if request.param == "dropbear":
        async with DropbearServer(folder, authorized_key=key.public) as server:
            yield _in_config(desk, server.host("one", ssh_key=key.path), server.home)
        return
    config = busybox_only(tmp_path / "bin") if request.param == "busybox" else []
    async with OpenSshServer(folder, authorized_key=key.public, config=config) as server:
        yield _in_config(desk, server.host("one", ssh_key=key.path), server.home())


def busybox_only(folder: Path) -> list[str]:
    """Lines for sshd_config, after which every command is run by BusyBox with nothing but BusyBox."""
    folder.mkdir()
    subprocess.run([required("busybox"), "--install", "-s", folder], check=True, timeout=10)
    return [f'ForceCommand PATH={folder} exec {folder}/sh -c "$SSH_ORIGINAL_COMMAND"']


def _in_config(desk: Desk, host: Host, home: Path) -> Worker:
    desk.add(host)
    return Worker(host, home)
