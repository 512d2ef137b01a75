"""Real SSH servers on loopback: OpenSSH and Dropbear, each with its own keys, started for one test and stopped by pid.

    async with OpenSshServer(tmp_path, authorized_key=key.public) as server:
        host = server.host("one", ssh_key=key.path)

One OpenSshServer can stand for several hosts: each address has a home of its own.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import random
import shutil
import signal
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import asyncssh
import pytest

from picoclaw_fleet.config.inventory import Host

START_SECONDS = 10
MOST_ADDRESSES = 16
"""sshd has no more listening sockets."""

NOBODY = Host(
    name="nobody",
    address="127.0.0.1",
    port=0,
    user="",
    ssh_key=None,
    certificate=None,
    key_passphrase_env="",
    jump="",
    host_key="",
    ssh_config_host="",
    known_hosts=None,
    host_key_policy="strict",
    connect_timeout=10,
    idle_timeout=300,
    arch="",
    tags=(),
    slots=0,
    provider="",
    api_key_env="",
    model="",
    api_base="",
    env={},
    restrict_to_workspace=None,
)
"""A host with every value left out; `dataclasses.replace` makes others of it."""


@dataclass(frozen=True)
class ClientKey:
    """A key pair in files."""

    path: Path
    public: str

    @classmethod
    def make(cls, folder: Path, name: str = "id_ed25519", *, passphrase: str | None = None) -> ClientKey:
        """A new ed25519 key, as ssh-keygen would write it."""
        folder.mkdir(parents=True, exist_ok=True)
        key = asyncssh.generate_private_key("ssh-ed25519", comment=name)  # pyright: ignore[reportUnknownMemberType]
        path = folder / name
        path.write_bytes(key.export_private_key(passphrase=passphrase, rounds=50))
        path.chmod(0o600)
        public = key.export_public_key().decode().strip()
        Path(f"{path}.pub").write_text(f"{public}\n")
        return cls(path, public)


def required(program: str) -> str:
    """The path of a program. Without it the test is skipped, but fails where CI has to have it."""
    path = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    return path or _without(f"{program} is not installed")


def _without(reason: str) -> Any:
    if os.environ.get("CI"):
        pytest.fail(f"{reason}, and CI must not skip this")
    pytest.skip(reason)


class _Server:
    """What both servers have in common."""

    def __init__(self, folder: Path, authorized_key: str, host_keys: Sequence[str]) -> None:
        self.folder = folder
        self.host_keys = host_keys
        self.user = getpass.getuser()
        self.authorized_key = authorized_key
        self.log: list[str] = []
        self.pid = 0
        self.port = 0
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._logged = asyncio.Condition()

    @property
    def address(self) -> str:
        """The first or only address."""
        raise NotImplementedError

    @property
    def homes(self) -> Sequence[Path]:
        """The home of each address."""
        raise NotImplementedError

    def host_key(self, kind: str = "ed25519") -> str:
        """A public host key: type and key."""
        return " ".join((self.folder / f"host_{kind}.pub").read_text().split()[:2])

    def host(self, name: str = "one", *, ssh_key: Path | None, address: str = "", **changes: Any) -> Host:
        """A fleet host on this server, its first key pinned unless `host_key` says otherwise."""
        values = {"name": name, "address": address or self.address, "port": self.port, "user": self.user} | changes
        if "host_key" not in values:
            values["host_key"] = self.host_key(self.host_keys[0])
        return replace(NOBODY, ssh_key=ssh_key, **values)

    async def logged(self, text: str, times: int = 1) -> None:
        """Wait until `text` stands in that many lines of the log."""
        async with self._logged:
            await self._logged.wait_for(lambda: self.count(text) >= times)

    def count(self, text: str) -> int:
        """How many lines of the log have `text` so far."""
        return sum(text in line for line in self.log)

    def descendants(self) -> list[int]:
        """The processes that serve connections and commands now, parents first."""
        return list(_descendants(self.pid))

    async def _start(self, command: Sequence[str], ready: str) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        self.pid = self._process.pid
        self._reading = asyncio.create_task(self._read_log(self._process))
        try:
            with anyio.fail_after(START_SECONDS):
                await self.logged(ready)
        except BaseException as error:
            await self._stop()
            raise RuntimeError(f"{command[0]} did not start: {self.log}") from error

    async def _read_log(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            async with self._logged:
                self.log.append(line.decode(errors="replace").rstrip())
                self._logged.notify_all()

    async def _stop(self) -> None:
        assert self._process is not None and self._reading is not None
        for pid in [self.pid, *self.descendants(), *_living_in(self.homes)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self._process.wait()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        # asyncio closes the pipe only when everybody who holds its other end has gone.
        self._process._transport.close()  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue, reportUnknownMemberType]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()


class OpenSshServer(_Server):
    """A real sshd.

    Args:
        folder: Where its files go; each address gets a home below it.
        authorized_key: Lines for authorized_keys.
        addresses: How many addresses it listens on, at most 16.
        host_keys: The types of its host keys; made unless they lie in the folder as host_TYPE.
        config: Further lines of sshd_config, before ours: the first value of an option counts.
    """

    def __init__(
        self,
        folder: Path,
        *,
        authorized_key: str,
        addresses: int = 1,
        host_keys: Sequence[str] = ("ed25519",),
        config: Sequence[str] = (),
    ) -> None:
        assert addresses <= MOST_ADDRESSES
        super().__init__(folder, authorized_key, host_keys)
        self.addresses = _loopback(addresses)
        self._config = config

    _privsep = Path("/run/sshd")

    @property
    def address(self) -> str:
        return self.addresses[0]

    @property
    def homes(self) -> Sequence[Path]:
        return [self.home(address) for address in self.addresses]

    def home(self, address: str = "") -> Path:
        """The home of a host, by its address."""
        return self.folder / f"home-{address or self.address}"

    async def __aenter__(self) -> Self:
        sshd = required("sshd")
        self.folder.mkdir(parents=True, exist_ok=True)
        if os.getuid() == 0:
            self._privsep.mkdir(exist_ok=True)
        for kind in self.host_keys:
            if not (self.folder / f"host_{kind}").exists():
                make_host_key(self.folder / f"host_{kind}", kind)
        for home in self.homes:
            home.mkdir(exist_ok=True)
        (self.folder / "authorized_keys").write_text(f"{self.authorized_key}\n")
        self.port = _free_port(self.addresses)
        config = self.folder / "sshd_config"
        config.write_text("\n".join([*self._config, *self._lines(), ""]))
        await self._start([sshd, "-D", "-e", "-f", str(config)], ready="Server listening")
        with anyio.fail_after(START_SECONDS):
            await self.logged("Server listening", times=len(self.addresses))
        return self

    def _lines(self) -> Iterator[str]:
        yield f"Port {self.port}"
        for address in self.addresses:
            yield f"ListenAddress {address}"
        for kind in self.host_keys:
            yield f"HostKey {self.folder / f'host_{kind}'}"
        yield f"PidFile {self.folder / 'sshd.pid'}"
        yield f"AuthorizedKeysFile {self.folder / 'authorized_keys'}"
        yield from ("UsePAM no", "StrictModes no", "PasswordAuthentication no", "KbdInteractiveAuthentication no")
        yield from ("UseDNS no", "PrintMotd no", "PrintLastLog no", "LogLevel VERBOSE", "MaxStartups 1000")
        yield "Subsystem sftp internal-sftp"
        for address in self.addresses:
            yield f"Match LocalAddress {address}"
            yield f"SetEnv HOME={self.home(address)}"


class DropbearServer(_Server):
    """A real Dropbear. It takes the home from passwd, so it runs with a passwd of its own in a mount namespace.

    Args:
        folder: Where its files go, and the home.
        authorized_key: Lines for authorized_keys.
        host_keys: The types of its host keys.
    """

    def __init__(self, folder: Path, *, authorized_key: str, host_keys: Sequence[str] = ("ed25519",)) -> None:
        super().__init__(folder, authorized_key, host_keys)
        self.home = folder / "home"
        self._address = _loopback(1)[0]

    @property
    def address(self) -> str:
        return self._address

    @property
    def homes(self) -> Sequence[Path]:
        return [self.home]

    async def __aenter__(self) -> Self:
        dropbear, dropbearkey, unshare = required("dropbear"), required("dropbearkey"), required("unshare")
        if os.getuid() != 0:
            _without("only root can give Dropbear a home of its own")
        ssh = self.home / ".ssh"
        ssh.mkdir(parents=True)
        self.home.chmod(0o700)
        ssh.chmod(0o700)
        (ssh / "authorized_keys").write_text(f"{self.authorized_key}\n")
        keys: list[str] = []
        for kind in self.host_keys:
            path = self.folder / f"host_{kind}"
            made = await anyio.run_process([dropbearkey, "-t", kind, "-f", str(path)])
            public = next(line for line in made.stdout.decode().splitlines() if line.startswith(("ssh-", "ecdsa-")))
            path.with_suffix(".pub").write_text(f"{public}\n")
            keys += ["-r", str(path)]
        passwd = self.folder / "passwd"
        passwd.write_text("".join(self._passwd()))
        self.port = _free_port([self.address])
        inside = 'mount --bind "$0" /etc/passwd && exec "$@"'
        await self._start(
            [
                *(unshare, "--mount", "sh", "-c", inside, str(passwd)),
                *(dropbear, "-F", "-E", "-s", *keys, "-p", f"{self.address}:{self.port}"),
                *("-P", str(self.folder / "dropbear.pid")),
            ],
            ready="Not backgrounding",
        )
        return self

    def _passwd(self) -> Iterator[str]:
        for line in Path("/etc/passwd").read_text().splitlines(keepends=True):
            fields = line.split(":")
            if fields[0] == self.user:
                fields[5] = str(self.home)
            yield ":".join(fields)


def make_host_key(path: Path, kind: str) -> None:
    """Write a new host key and its public half."""
    algorithm = {"ed25519": "ssh-ed25519", "ecdsa": "ecdsa-sha2-nistp256", "rsa": "ssh-rsa"}[kind]
    key = asyncssh.generate_private_key(algorithm)  # pyright: ignore[reportUnknownMemberType]
    path.write_bytes(key.export_private_key())
    path.chmod(0o600)
    Path(f"{path}.pub").write_bytes(key.export_public_key())


def _loopback(count: int) -> tuple[str, ...]:
    """Addresses that no other test is likely to use."""
    block = f"127.{random.randint(1, 254)}.{random.randint(0, 255)}"
    return tuple(f"{block}.{number}" for number in range(1, count + 1))


def _free_port(addresses: Sequence[str]) -> int:
    with socket.socket() as sock:
        sock.bind((addresses[0], 0))
        return sock.getsockname()[1]


def _descendants(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield int(child)
            yield from _descendants(int(child))


def _living_in(homes: Iterable[Path]) -> Iterator[int]:
    """Detached processes: they have one of the homes in their environment."""
    marks = {f"HOME={home}".encode() for home in homes}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if marks & set((entry / "environ").read_bytes().split(b"\0")):
                yield int(entry.name)
