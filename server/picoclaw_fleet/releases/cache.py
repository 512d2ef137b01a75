"""The folder that keeps downloaded binaries, shared by every process of the user.

    <cache>/<owner>+<name>/<tag>/<asset>/<revision>/picoclaw       the executable
                                                    receipt.json   what it is; its digest is checked at each use
                                        <revision>.lock            held while a process downloads
                                        <revision>.part-*/         a download under way, or what a killed one left

An entry appears whole, by the rename of a finished part. What a killed process leaves is a part, which nothing ever
takes for an entry and the next to hold the lock removes.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio import to_thread
from pydantic import BaseModel, ValidationError

from picoclaw_fleet.releases.release import Binary, Release, Verification

EXECUTABLE = "picoclaw"
_RECEIPT = "receipt.json"
_LOCK_INTERVAL = 0.05
"""Seconds between two looks at a lock that another process holds."""


class Receipt(BaseModel):
    """What is known about an executable besides its place; the fields are those of Binary."""

    version: str
    sha256: str
    source: str
    verified: Verification


def entry_of(cache: Path, release: Release) -> Path:
    """The folder where the binary of a release lies, or will lie."""
    return cache / release.source.replace("/", "+") / release.tag / release.asset / release.revision


async def load(entry: Path) -> Binary | None:
    """The binary of an entry; None where there is none, or where it isn't what its receipt says."""
    return await to_thread.run_sync(_load, entry)


def _load(entry: Path) -> Binary | None:
    try:
        receipt = Receipt.model_validate_json((entry / _RECEIPT).read_bytes())
        if sha256_of(entry / EXECUTABLE) != receipt.sha256:
            return None
    except (FileNotFoundError, ValidationError):
        return None
    return _binary(entry, receipt)


def keep(part: Path, entry: Path, *, version: str, source: str, verified: Verification) -> Binary:
    """Makes a part that holds an executable the entry, in place of one that was no longer good.

    Needs the entry's lock. Blocks.
    """
    executable = part / EXECUTABLE
    executable.chmod(0o700)
    receipt = Receipt(version=version, sha256=sha256_of(executable), source=source, verified=verified)
    (part / _RECEIPT).write_text(receipt.model_dump_json(indent=2))
    _remove(entry)
    part.rename(entry)
    return _binary(entry, receipt)


def _binary(entry: Path, receipt: Receipt) -> Binary:
    return Binary(entry / EXECUTABLE, receipt.version, receipt.sha256, receipt.source, receipt.verified)


@asynccontextmanager
async def part_of(entry: Path) -> AsyncGenerator[Path]:
    """A new, private folder beside an entry; gone afterwards unless it was kept. Needs the entry's lock."""
    part = await to_thread.run_sync(_new_part, entry)
    try:
        yield part
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(_remove, part)


def _new_part(entry: Path) -> Path:
    for leftover in entry.parent.glob(f"{entry.name}.part-*"):
        _remove(leftover)
    return Path(tempfile.mkdtemp(prefix=f"{entry.name}.part-", dir=entry.parent))


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def locked(entry: Path) -> AsyncGenerator[None]:
    """Holds the entry's lock, which the kernel takes back from a process that dies."""
    handle = await to_thread.run_sync(_open_lock, entry)
    try:
        # Asking again and again can be cancelled; a thread that sleeps in flock can't.
        while not _take(handle):  # noqa: ASYNC110 - the kernel has no event for it
            await anyio.sleep(_LOCK_INTERVAL)
        yield
    finally:
        os.close(handle)


def _open_lock(entry: Path) -> int:
    entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(entry.parent / f"{entry.name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _take(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in lower-case hexadecimal. Blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
