"""A controller with real hosts and a GitHub on loopback: what the tests of deploy and teardown stand on.

async with DeploySite(tmp_path) as site:
    host = site.host("one")
    result = await site.deploy([host])
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
from tests import standin
from tests.certificate import trusted_alone
from tests.github import GitHub, picoclaw_files
from tests.servers import ClientKey, DropbearServer, OpenSshServer, required

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.jobs.board import Board
from picoclaw_fleet.releases import Releases
from picoclaw_fleet.rollout import HostResult, HostRun, Rollout
from picoclaw_fleet.transport import Pool

REPOSITORY = "EricGrill/picoclaw"
UPSTREAM = "sipeed/picoclaw"
KEY_VARIABLE = "ANTHROPIC_API_KEY"
KEY = "sk-ant-the-key-of-these-tests-4711"
NAME = os.uname().nodename
SECONDS = 45

BROKEN = b'#!/bin/sh\n[ "$1" != version ] || { echo "picoclaw 0.2.10"; exit 0; }\necho "Error: it is broken"; exit 1\n'
"""A release that says what it is, and is never ready."""


class HomelySshServer(OpenSshServer):
    """An OpenSSH server whose commands begin in the home of their host, as they do where HOME is what passwd says.

    Args:
        folder: Where its files go.
        sparse: Whether the first host has nothing but BusyBox.
        server: What an OpenSshServer takes besides.
    """

    def __init__(self, folder: Path, *, sparse: bool, **server: Any) -> None:
        super().__init__(folder, **server)
        self._sparse = sparse

    @property
    def busybox(self) -> Path:
        """The folder of the sparse host's programs."""
        return self.folder / "busybox"

    def _lines(self) -> Iterator[str]:
        if self._sparse:
            self.busybox.mkdir()
            subprocess.run([required("busybox"), "--install", "-s", self.busybox], check=True)
        for line in super()._lines():
            if not line.startswith("SetEnv HOME="):
                yield line
            elif self._sparse and line == f"SetEnv HOME={self.home()}":
                yield f"SetEnv PATH={self.busybox} {line.removeprefix('SetEnv ')}"
                yield f"ForceCommand {self._guard('sparse', f'exec {self.busybox}/sh')}"
            else:
                yield line
                yield f"ForceCommand {self._guard('usual', 'exec sh')}"

    def _guard(self, name: str, shell: str) -> Path:
        guard = self.folder / f"guard-{name}"
        guard.write_text(f'#!/bin/sh\ncd "$HOME"\n{shell} -c "$SSH_ORIGINAL_COMMAND"\n')
        guard.chmod(0o755)
        return guard


class DeploySite:
    """Hosts, releases and a controller.

    Args:
        folder: Where everything goes.
        hosts: How many OpenSSH hosts there are.
        dropbear: Whether there is a Dropbear as well.
        sparse: Whether the first OpenSSH host has nothing but BusyBox.
        patience: Seconds to wait for another controller.
    """

    def __init__(
        self, folder: Path, *, hosts: int = 1, dropbear: bool = False, sparse: bool = False, patience: float = SECONDS
    ) -> None:
        self.folder = folder
        self._hosts = hosts
        self._dropbear = dropbear
        self._sparse = sparse
        self._patience = patience
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        enter = self._exits.enter_async_context
        self.key = ClientKey.make(self.folder / "keys")
        self._exits.enter_context(trusted_alone(self.folder / "trusted"))
        self.github = self._exits.enter_context(GitHub())
        self.server = await enter(
            HomelySshServer(
                self.folder / "sshd",
                authorized_key=self.key.public,
                addresses=self._hosts,
                sparse=self._sparse,
            )
        )
        if self._dropbear:
            self.dropbear = await enter(DropbearServer(self.folder / "dropbear", authorized_key=self.key.public))
        await enter(self.attached())
        return self

    @asynccontextmanager
    async def attached(self) -> AsyncGenerator[None]:
        """A controller for the hosts that are there."""
        async with Pool() as self.pool, anyio.create_task_group() as tasks:
            self.board = Board(self.pool)
            self.rollout = Rollout(self.pool, self.board, tasks, patience=self._patience)
            self.releases = self.new_releases()
            yield
            tasks.cancel_scope.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exits.aclose()

    def new_releases(self) -> Releases:
        """Releases that ask again."""
        return Releases([REPOSITORY, UPSTREAM], self.github.api, None, self.folder / "cache", allow_unverified=False)

    def publish(self, version: str, binary: bytes | None = None, repository: str = REPOSITORY) -> None:
        """Makes a release the latest one."""
        self.github.publish(repository, f"v{version}", picoclaw_files(binary or standin.executable(version)))
        self.releases = self.new_releases()

    def host(self, name: str = "one", number: int = 0, **changes: Any) -> Host:
        """An OpenSSH host."""
        settings = {"provider": "anthropic", "api_key_env": KEY_VARIABLE} | changes
        return self.server.host(name, ssh_key=self.key.path, address=self.server.addresses[number], **settings)

    def dropbear_host(self, name: str = "bear", **changes: Any) -> Host:
        """The Dropbear host."""
        settings = {"provider": "anthropic", "api_key_env": KEY_VARIABLE} | changes
        return self.dropbear.host(name, ssh_key=self.key.path, **settings)

    def home(self, number: int = 0) -> Path:
        """The home of an OpenSSH host."""
        return self.server.home(self.server.addresses[number])

    def fleet(self, home: Path | None = None) -> Path:
        """Where everything of ours lies there."""
        return (home or self.home()) / ".picoclaw/fleet" / NAME

    async def deploy(self, hosts: Sequence[Host], **order: Any) -> list[HostResult]:
        """Deploys and waits for the end."""
        return await self.see(self.rollout.deploy(hosts, self.releases, **order))

    async def teardown(self, hosts: Sequence[Host], *, purge: bool = False) -> list[HostResult]:
        """Tears down and waits for the end."""
        return await self.see(self.rollout.teardown(hosts, purge=purge))

    async def see(self, runs: Sequence[HostRun]) -> list[HostResult]:
        """Waits for the end."""
        with anyio.fail_after(SECONDS):
            await self.rollout.watch(runs)
        return [run.result for run in runs]


def tree(home: Path) -> dict[str, bytes | str]:
    """Everything below a home: the content of files, the targets of links, "" for folders."""
    return {
        str(path.relative_to(home)): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else ""
        for path in home.rglob("*")
    }


def holding(home: Path, text: str) -> list[str]:
    """The files that have that text in them."""
    return sorted(
        name for name, content in tree(home).items() if isinstance(content, bytes) and text.encode() in content
    )
