"""Hosts to which everything may happen: links are cut, disks are filled, servers restarted, processes killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from tests.faults.link import Link
from tests.servers import START_SECONDS, OpenSshServer, required

# What it is given stands in a log outside of its home: that one may be full.
PICOCLAW = """\
#!/bin/sh
for task; do :; done
case $task in version | /*) ;; *) echo "$task" >>"{log}" ;; esac
case $task in *long*) sleep 1 ;; *) sleep 0.1 ;; esac
printf '\\n🦞 did %s\\n' "$task"
"""


@dataclass
class Victim:
    """One host.

    Attributes:
        name: In the fleet config.
        home: Its home.
        link: The way to it.
        log: Gets a line for each task that PicoClaw was given.
        disk: What its home lies on, when that can be filled.
        sshd: Its SSH server, when that can be restarted.
    """

    name: str
    home: Path
    link: Link
    log: Path
    disk: Disk | None = None
    sshd: RestartableSshServer | None = None

    def install(self) -> None:
        """Puts a PicoClaw there that costs next to nothing."""
        binary = self.home / ".local/bin/picoclaw"
        binary.parent.mkdir(parents=True)
        binary.write_text(PICOCLAW.format(log=self.log))
        binary.chmod(0o755)

    def tasks(self) -> list[str]:
        """What PicoClaw was given there."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def processes(self) -> list[int]:
        """PicoClaw, runners and guards that live there."""
        return list(self._processes())

    def _processes(self) -> Iterator[int]:
        home = f"HOME={self.home}".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                environment = (entry / "environ").read_bytes().split(b"\0")
                if home not in environment:
                    continue
                is_worker = any(setting.startswith(b"PICOFLEET_JOB=") for setting in environment)
                if is_worker or b"/runner-" in (entry / "cmdline").read_bytes():
                    yield int(entry.name)


@dataclass
class Disk:
    """A small disk, where root may mount one; elsewhere filling it means nothing.

    Args:
        folder: Where it is mounted.
        size: Such as 4m.
    """

    folder: Path
    size: str
    is_mounted: bool = field(default=False, init=False)

    def __enter__(self) -> Disk:
        self.folder.mkdir(parents=True)
        if os.getuid() == 0:
            command = ["mount", "-t", "tmpfs", "-o", f"size={self.size}", "none", str(self.folder)]
            self.is_mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
        return self

    def __exit__(self, *_: object) -> None:
        if self.is_mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)

    def fill(self) -> None:
        """Leaves no room."""
        if self.is_mounted:
            with suppress(OSError), self._ballast.open("ab", buffering=0) as file:
                for size in (1 << 20, 1 << 12):
                    with suppress(OSError):
                        while file.write(bytes(size)) == size:
                            pass

    def relieve(self) -> None:
        """Makes room again."""
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"


class RestartableSshServer(OpenSshServer):
    """A real sshd that can be restarted as by a hard hand: its sessions die with it, detached processes don't."""

    async def restart(self) -> None:
        """Kills it and starts it again, on the same port with the same keys."""
        assert self._process is not None and self._reading is not None
        for pid in [self.pid, *filter(_is_sshd, self.descendants())]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        await self._process.wait()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._process._transport.close()  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue, reportUnknownMemberType]
        before = self.count("Server listening")
        command = [required("sshd"), "-D", "-e", "-f", str(self.folder / "sshd_config")]
        await self._start(command, ready="Server listening")
        with anyio.fail_after(START_SECONDS):
            await self.logged("Server listening", times=before + 1)


def _is_sshd(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().startswith("sshd")
    return False
