"""Carrying a file to a host: through `cat` on an exec channel, which every host has.

SFTP answers each packet, and takes twice the time of the controller's processor. Nothing is compressed either: over a
fast link the host's gunzip would be the brake (25 MB, packed once by gzip -1: the controller's processor takes 60 ms in
place of 100 for each host, and the host's 170 more), and over a slow one a PicoClaw of 16 MB takes seconds, once.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from pathlib import Path

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.transport.berths import Lane
from picoclaw_fleet.transport.command import WRITE_PIECE, Command
from picoclaw_fleet.transport.pool import Pool

PIECE = WRITE_PIECE
"""Bytes that are read and handed over at once: no more than are written at once, or they would be copied."""

OnBytes = Callable[[int], None]


class LocalFile:
    """A file to be sent. However many hosts get it, the kernel's page cache is what holds it.

    It is read, not mapped: each mapping's pages would count as this process's memory anew.

    Args:
        path: A file that does not change meanwhile.

    Raises:
        OSError: It can't be read.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self.size = os.fstat(self._file.fileno()).st_size

    def piece(self, offset: int) -> bytes:
        """The bytes from `offset` on, at most PIECE of them."""
        return os.pread(self._file.fileno(), PIECE, offset)

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


async def upload(pool: Pool, host: Host, file: LocalFile, path: str, on_bytes: OnBytes) -> None:
    """Write a file on a host, readable for its owner only. That it arrived whole is for the caller to verify.

    Args:
        pool: The connections.
        host: Where to.
        file: What to send.
        path: The absolute path there, in a folder that exists; what is there is overwritten.
        on_bytes: Told how many bytes have been handed over.

    Raises:
        HostError: Contact was lost, or the file can't be written (disk_full, home_not_writable).
    """
    quoted = shlex.quote(f"umask 077; cat >{shlex.quote(path)}")
    async with pool.command(host, f"sh -c {quoted}", lane=Lane.WAIT) as command:
        await _feed(command, file, on_bytes)
        while await command.read(PIECE):
            pass
        await command.wait_closed()
        command.check()
        if command.exit_status != 0:
            raise _not_written(host, command.stderr.decode(errors="replace").strip())


async def _feed(command: Command, file: LocalFile, on_bytes: OnBytes) -> None:
    sent = 0
    while piece := file.piece(sent):
        await command.write(piece)
        sent += len(piece)
        on_bytes(sent)
    command.write_eof()


def _not_written(host: Host, said: str) -> HostError:
    full = "No space" in said
    return HostError(
        "a file could not be written there" + (f" ({said[-200:]})." if said else "."),
        host=host.name,
        reason=Reason.DISK_FULL if full else Reason.HOME_NOT_WRITABLE,
        next_step="Free some space there." if full else "Check owner and mode of ~/.picoclaw there.",
    )
