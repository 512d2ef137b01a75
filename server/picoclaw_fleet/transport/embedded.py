"""Hosts inside this process: SSH servers on loopback for the demo and for tests, each with a home of its own."""

from __future__ import annotations

import asyncio
import getpass
import os
import secrets
import signal
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncssh

MARK = "PICOFLEET_EMBEDDED"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PIECE = 64 << 10
_LEAVE_SECONDS = 2.0
_PROC = Path("/proc")


class EmbeddedHost:
    """An SSH server on 127.0.0.1 that runs each command with /bin/sh in a home of its own. An async context manager.

    It has no user but ours, and separates nothing: a demo, not a sandbox. On closing it stops all that was started
    through it, detached processes included; they are known by a variable in their environment.

    Args:
        home: The home directory; made where it is missing.
        authorized_key: The public key that may log in, as in authorized_keys.
        env: Further environment for the commands.
    """

    def __init__(self, home: Path, *, authorized_key: str, env: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.address = "127.0.0.1"
        self.user = getpass.getuser()
        self._authorized_key = authorized_key
        self._mark = secrets.token_hex(8)
        self._env = {
            "HOME": str(home),
            "PWD": str(home),
            "USER": self.user,
            "LOGNAME": self.user,
            "SHELL": "/bin/sh",
            "PATH": _PATH,
            "LANG": "C.UTF-8",
            **(env or {}),
            MARK: self._mark,
        }
        self._key = asyncssh.generate_private_key("ssh-ed25519")  # pyright: ignore[reportUnknownMemberType]
        self._server: asyncssh.SSHAcceptor | None = None
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._has_served = False
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None, "the host is not running"
        return self._server.get_port()

    @property
    def host_key(self) -> str:
        """Its public host key, as `host_key` in the fleet config takes it."""
        return " ".join(self._key.export_public_key("openssh").decode().split()[:2])

    async def __aenter__(self) -> Self:
        self.home.mkdir(parents=True, exist_ok=True)
        host = self

        class Doorman(asyncssh.SSHServer):
            def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
                self._connection = conn
                host._connections.add(conn)

            def connection_lost(self, exc: Exception | None) -> None:
                host._connections.discard(self._connection)

        self._server = await asyncssh.listen(
            self.address,
            0,
            server_factory=Doorman,
            server_host_keys=[self._key],
            authorized_client_keys=asyncssh.import_authorized_keys(self._authorized_key),
            process_factory=self._serve,
            encoding=None,
            password_auth=False,
            kbdint_auth=False,
            host_based_auth=False,
            gss_host=None,
            x509_trusted_certs=None,
            allow_pty=False,
            compression_algs=None,
            config=None,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop listening, drop the connections, and stop all that was started here."""
        await self.close_all([self])

    @staticmethod
    async def close_all(hosts: Iterable[EmbeddedHost]) -> None:
        """Close hosts together: what was started on them is looked for once, among all processes of this machine."""
        marks: list[bytes] = []
        serving: set[asyncio.Task[None]] = set()
        for host in hosts:
            await host._shut()
            if host._has_served:
                marks.append(f"{MARK}={host._mark}".encode())
                host._has_served = False
            serving |= host._serving
        if marks:
            await asyncio.to_thread(_reap, marks)
        if serving:
            # They are to see the end of what was killed. Somebody without the mark may hold its output for ever.
            await asyncio.wait(serving, timeout=_LEAVE_SECONDS)

    async def _shut(self) -> None:
        """Stop listening, and drop the connections."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None
        self.drop_connections()

    def drop_connections(self) -> None:
        """Break all connections as a power cut of the network would; what runs goes on."""
        for connection in list(self._connections):
            connection.abort()

    async def _serve(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        if process.command is None:
            process.stderr.write(b"This host runs single commands only.\n")
            process.exit(1)
            return
        self._has_served = True
        if task := asyncio.current_task():
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)
        child = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            process.command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=self.home,
            env=self._env,
            start_new_session=True,
        )
        assert child.stdin and child.stdout and child.stderr
        feeding = asyncio.create_task(_feed(process.stdin, child.stdin))
        # As sshd does: the channel stays until nobody holds the output any more, even where the command has exited.
        await asyncio.gather(_drain(child.stdout, process.stdout), _drain(child.stderr, process.stderr))
        status = await child.wait()
        feeding.cancel()
        if status < 0:
            process.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
        else:
            process.exit(status)


def _reap(marks: Collection[bytes]) -> None:
    """Kill what carries one of these marks, until two scans in a row find nothing."""
    clean = 0
    while clean < 2:
        found = list(_marked(marks))
        clean = 0 if found else clean + 1
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _marked(marks: Collection[bytes]) -> Iterator[int]:
    for entry in _PROC.glob("[0-9]*"):
        with suppress(OSError):
            if not set((entry / "environ").read_bytes().split(b"\0")).isdisjoint(marks):
                yield int(entry.name)


async def _feed(source: asyncssh.SSHReader[bytes], sink: asyncio.StreamWriter) -> None:
    with suppress(OSError, asyncssh.Error):
        while piece := await source.read(_PIECE):
            sink.write(piece)
            await sink.drain()
    sink.close()


async def _drain(source: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes]) -> None:
    # When nobody listens any more, what goes on writing must not be held up for ever.
    while piece := await source.read(_PIECE):
        with suppress(OSError, asyncssh.Error):
            sink.write(piece)
            await sink.drain()
