"""Carrying a file to a host: over SFTP where there is it, else through `cat` on an exec channel.

Nothing is compressed. Over a fast link the host's gunzip would be the brake (50 hosts and 25 MB each: 2.1 s plain,
3.8 s with gzip), and over a slow one a PicoClaw of 16 MB takes seconds, once.
"""

from __future__ import annotations

import mmap
import shlex
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import asyncssh

from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.inventory import Host
from picoclaw_fleet.transport.berths import Lane
from picoclaw_fleet.transport.pool import Pool

PIECE = 128 << 10
"""Bytes that are handed over at once; OpenSSH's SFTP server takes packets of up to 256 KB."""

OnBytes = Callable[[int], None]


class LocalFile:
    """A file to be sent, mapped into memory: however many hosts get it, the kernel's page cache is the one buffer.

    Args:
        path: A file that is not empty and does not change meanwhile.

    Raises:
        OSError: It can't be read.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.size = len(self._content)

    def piece(self, offset: int) -> bytes:
        """The bytes from `offset` on, at most PIECE of them."""
        return self._content[offset : offset + PIECE]

    def close(self) -> None:
        """Give the mapping back."""
        self._content.close()


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
    if not await _by_sftp(pool, host, file, path, on_bytes):
        await _by_cat(pool, host, file, path, on_bytes)


async def _by_sftp(pool: Pool, host: Host, file: LocalFile, path: str, on_bytes: OnBytes) -> bool:
    """False where there is no SFTP, or one that sees other folders than a shell does, or can't write to this one."""
    try:
        async with pool.sftp(host) as client:
            if not await client.isdir(str(PurePosixPath(path).parent)):
                return False
            owner_only = asyncssh.SFTPAttrs(permissions=0o600)
            async with client.open(path, "wb", owner_only, encoding=None) as target:
                for offset in range(0, file.size, PIECE):
                    await target.write(file.piece(offset))
                    on_bytes(min(offset + PIECE, file.size))
    except (asyncssh.Error, OSError, TimeoutError):
        return False
    return True


async def _by_cat(pool: Pool, host: Host, file: LocalFile, path: str, on_bytes: OnBytes) -> None:
    quoted = shlex.quote(f"umask 077; cat >{shlex.quote(path)}")
    async with pool.command(host, f"sh -c {quoted}", lane=Lane.WAIT) as command:
        for offset in range(0, file.size, PIECE):
            await command.write(file.piece(offset))
            on_bytes(min(offset + PIECE, file.size))
        command.write_eof()
        while await command.read(PIECE):
            pass
        await command.wait_closed()
        command.check()
        if command.exit_status != 0:
            raise _not_written(host, command.stderr.decode(errors="replace").strip())


def _not_written(host: Host, said: str) -> HostError:
    full = "No space" in said
    return HostError(
        "a file could not be written there" + (f" ({said[-200:]})." if said else "."),
        host=host.name,
        reason=Reason.DISK_FULL if full else Reason.HOME_NOT_WRITABLE,
        next_step="Free some space there." if full else "Check owner and mode of ~/.picoclaw there.",
    )
