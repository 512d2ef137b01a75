"""A controller with the skill's scripts: a home and a fleet config of its own, no SSH settings of this machine.

desk = Desk(tmp_path / "desk", scratch)
desk.add(server.host("one", ssh_key=key.path), slots=2)
done = await desk.run("dispatch.sh", address, user, "a task")
assert done.status == 0 and done.out == "done: a task\n"
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from picoclaw_fleet.config.file import ConfigSource
from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.fleet import Fleet

SKILL = Path(__file__).parents[2] / "skill" / "picoclaw-fleet"
SCRIPTS = SKILL / "scripts"
SECONDS = 40.0
"""No script takes longer in these tests."""


GONE = {"name": "gone", "host": "127.0.0.1", "port": 1}
"""Where nobody listens."""


@dataclass(frozen=True)
class Done:
    """How a script ended."""

    status: int
    out: str
    err: str


class Desk:
    """A controller.

    Args:
        folder: Its home.
        scratch: For temporary files; a short path, since sockets are made there.
        **defaults: The config's defaults.
    """

    def __init__(self, folder: Path, scratch: Path, **defaults: Any) -> None:
        self.home = folder
        self.home.mkdir()
        self._scratch = scratch
        self.config = folder / "fleet.json"
        self.defaults = defaults
        self._hosts: list[dict[str, Any]] = []
        self.env = {
            "HOME": str(folder),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TMPDIR": str(scratch),
            "PICOCLAW_FLEET_CONFIG": str(self.config),
            "PICOCLAW_SSH_OPTIONS": "-F none",
            "XDG_CACHE_HOME": str(folder / "cache"),
        }

    def add(self, host: Host, /, **settings: Any) -> None:
        """Writes a host into the config; settings replace its own, and "" leaves one out."""
        own: dict[str, Any] = {"name": host.name, "host": host.address, "port": host.port, "user": host.user}
        own |= {"host_key": host.host_key} if host.host_key else {}
        own |= {"ssh_key": str(host.ssh_key)} if host.ssh_key else {}
        own |= settings
        self._hosts.append({key: value for key, value in own.items() if value != ""})
        self.write()

    def write(self) -> None:
        """Writes the config as it is now."""
        self.config.write_text(json.dumps({"hosts": self._hosts, "defaults": self.defaults}))

    async def run(self, script: str, *arguments: object, stdin: bytes = b"", **env: str) -> Done:
        """Runs one script to its end."""
        with anyio.fail_after(SECONDS):
            done = await anyio.run_process(
                [str(SCRIPTS / script), *map(str, arguments)],
                input=stdin,
                env=self.env | env,
                check=False,
            )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def fleet(self) -> Fleet:
        """The server's core, with the same config."""
        return Fleet(ConfigSource(self.config), state=self.home / "state")

    @property
    def leftovers(self) -> list[str]:
        """What scripts have left in the folder for temporary files."""
        return sorted(path.name for path in self._scratch.iterdir())
