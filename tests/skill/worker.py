"""A host as the scripts see it, and a look at what is on it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tests.standin import install, set_knobs

from picoclaw_fleet.config.inventory import Host


@dataclass(frozen=True)
class Worker:
    """A host that runs, and its home."""

    host: Host
    home: Path

    @property
    def login(self) -> tuple[str, str]:
        """The first two arguments of every script."""
        return self.host.address, self.host.user

    @property
    def fleet(self) -> Path:
        return self.home / ".picoclaw/fleet" / os.uname().nodename

    def with_picoclaw(self, **knobs: object) -> Worker:
        """Its owner has set PicoClaw up."""
        install(self.home, knobs=knobs)
        return self

    def knobs(self, **knobs: object) -> None:
        set_knobs(self.home, **knobs)

    def jobs(self) -> list[str]:
        folder = self.fleet / "jobs"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def files_with(self, text: str) -> list[str]:
        """The files in its home that hold a text."""
        files = [path for path in self.home.rglob("*") if path.is_file() and not path.is_symlink()]
        return sorted(str(path.relative_to(self.home)) for path in files if text.encode() in path.read_bytes())
