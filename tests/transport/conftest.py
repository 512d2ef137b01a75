"""What the tests of the transport share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.servers import ClientKey, OpenSshServer

from picoclaw_fleet.transport import Pool


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home for the client, without keys, agent or known hosts."""
    home = tmp_path / "client"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return home


@pytest.fixture
def key(own_home: Path) -> ClientKey:
    return ClientKey.make(own_home / "keys")


@pytest.fixture
async def server(tmp_path: Path, key: ClientKey) -> AsyncIterator[OpenSshServer]:
    async with OpenSshServer(tmp_path / "sshd", authorized_key=key.public) as server:
        yield server


@pytest.fixture
async def pool(own_home: Path) -> AsyncIterator[Pool]:
    async with Pool() as pool:
        yield pool
