"""A fleet of embedded hosts with stand-ins for PicoClaw on them, and the folders of a controller that knows them.

    async with EmbeddedFleet(tmp_path) as fleet:
        await fleet.add("one", slots=1)
        fleet.write_config()

It needs what the package needs at run time and nothing else: the demo uses it too.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
import asyncssh
from tests import standin

from picoclaw_fleet.transport import EmbeddedHost

COMMAND = str(Path(sys.executable).with_name("picoclaw-fleet"))
"""The installed command, that of the Python which runs this."""


class EmbeddedFleet:
    """Hosts inside this process, and a fleet config that names them.

    Args:
        folder: Where everything goes: homes, keys, the config, the controller's home and its state.

    Attributes:
        config: The fleet config's path.
        home: The controller's home.
        state: The controller's folder for state.
        hosts: The hosts that were added, by name.
        entries: What the config says of each host, in order; change it and call write_config.
        defaults: The config's defaults.
        http: The config's settings for serving over HTTP.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "fleet.json"
        self.home = folder / "controller"
        self.state = folder / "state"
        self.hosts: dict[str, EmbeddedHost] = {}
        self.entries: list[dict[str, Any]] = []
        self.defaults: dict[str, Any] = {}
        self.http: dict[str, Any] = {}
        self._key = folder / "id_ed25519"
        self._public_key = ""
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.home.mkdir(parents=True)
        key = asyncssh.generate_private_key("ssh-ed25519")  # pyright: ignore[reportUnknownMemberType]
        self._key.write_bytes(key.export_private_key())
        self._key.chmod(0o600)
        self._public_key = key.export_public_key().decode().strip()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await EmbeddedHost.close_all(self.hosts.values())
        await self._exits.aclose()

    async def add(
        self,
        name: str,
        *,
        picoclaw: bytes | None = None,
        version: str = "0.2.9",
        knobs: Mapping[str, object] | None = None,
        env: Mapping[str, str] | None = None,
        **keys: Any,
    ) -> EmbeddedHost:
        """Starts one more host.

        Args:
            name: Its name in the fleet config.
            picoclaw: An executable in the place of the stand-in; b"" for none at all.
            version: Which version the stand-in stands for.
            knobs: What the stand-in's runs do, see standin/picoclaw/knobs.py.
            env: Further environment for whatever runs there.
            keys: Further keys of its entry in the fleet config.
        """
        home = self.folder / "hosts" / name
        if picoclaw is None:
            home.mkdir(parents=True)
            standin.install(home, version=version, knobs=knobs)
        elif picoclaw:
            binary = home / ".local/bin/picoclaw"
            binary.parent.mkdir(parents=True)
            binary.write_bytes(picoclaw)
            binary.chmod(0o755)
        host = await self._exits.enter_async_context(EmbeddedHost(home, authorized_key=self._public_key, env=env))
        self.hosts[name] = host
        self.entries.append({**self.entry(name, host.port), "host_key": host.host_key, **keys})
        return host

    def entry(self, name: str, port: int) -> dict[str, Any]:
        """What the config says of a host on loopback, but for its key."""
        return {"name": name, "host": "127.0.0.1", "port": port, "user": "me", "ssh_key": str(self._key)}

    def set_knobs(self, **knobs: object) -> None:
        """Replaces the knobs of all stand-ins."""
        for host in self.hosts.values():
            standin.set_knobs(host.home, **knobs)

    def write_config(self) -> None:
        """Writes the fleet config, in place of what was there."""
        incoming = self.config.with_suffix(".incoming")
        incoming.write_text(json.dumps({"hosts": self.entries, "defaults": self.defaults, "http": self.http}, indent=1))
        incoming.replace(self.config)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a server for this fleet."""
        return {
            **{name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")},
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "PICOCLAW_FLEET_CONFIG": str(self.config),
            "PICOCLAW_FLEET_STATE_DIR": str(self.state),
        }

    def gate(self, name: str) -> Gate:
        """Makes a gate on a host."""
        gate = Gate(self.hosts[name].home)
        self._exits.callback(gate.close)
        return gate


class Gate:
    """Holds tasks until it is opened, and tells when one has come to it or passed. `command` is for the knob `exec`.

    Args:
        home: The home of the host where the tasks run.
    """

    command = 'echo >"$HOME/arrivals" && read line <"$HOME/gate" && echo >"$HOME/departures"'

    def __init__(self, home: Path) -> None:
        self._arrivals, self._gate, self._departures = (
            _open_fifo(home / name) for name in ("arrivals", "gate", "departures")
        )

    async def arrival(self) -> None:
        """Waits until one more task has come."""
        await _read_line(self._arrivals)

    def open(self, tasks: int = 1) -> None:
        """Lets so many tasks pass."""
        os.write(self._gate, b"\n" * tasks)

    async def departure(self) -> None:
        """Waits until one more task has passed."""
        await _read_line(self._departures)

    def close(self) -> None:
        """Gives the files back."""
        for file in (self._arrivals, self._gate, self._departures):
            os.close(file)


def _open_fifo(path: Path) -> int:
    """Makes a FIFO. That we hold both its ends lets the tasks open theirs at once, and us look without blocking."""
    os.mkfifo(path)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK)


async def _read_line(fifo: int) -> None:
    await anyio.wait_readable(fifo)
    os.read(fifo, 1)
