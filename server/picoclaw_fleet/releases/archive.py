"""The one file we want out of a release's archive. Nothing is ever written by a name that an archive holds."""

from __future__ import annotations

import errno
import gzip
import lzma
import shutil
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, NoReturn

from picoclaw_fleet.errors import Reason, ReleaseError

MAX_CONTENT = 512 << 20
"""Bytes of all members together, unpacked. PicoClaw's binary has some 16 MB, its launcher a few more."""

_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    ValueError,
    OverflowError,
)
"""What the standard library raises for broken archives."""


@dataclass(frozen=True, slots=True)
class _Member:
    name: str
    size: int
    is_file: bool
    is_folder: bool
    open: Callable[[], IO[bytes] | None]


def is_archive(name: str) -> bool:
    """True when a file of this name has to be unpacked; otherwise it is the binary itself."""
    return name.endswith((".tar.gz", ".tgz", ".zip"))


def unpack(archive: Path, name: str, target: Path) -> None:
    """Writes the member `picoclaw`, at the top or in a folder, to a file of ours. Blocks: run it in a thread.

    Args:
        archive: The archive.
        name: What the archive is called; it tells the kind and stands in messages.
        target: The file to write; it must not exist.

    Raises:
        ReleaseError: The archive is damaged, has no such member or more than one, or holds what no release of PicoClaw
            holds: links, devices, absolute paths, `..`, absurd sizes.
    """
    try:
        _write_picoclaw(_zip_members(archive) if name.endswith(".zip") else _tar_members(archive), name, target)
    except _DAMAGE as error:
        _refuse(name, f"it is damaged ({error})", error)
    except OSError as error:
        # gzip raises it without a number, and a seek to where a damaged archive points has EINVAL.
        if error.errno not in (None, errno.EINVAL):
            raise
        _refuse(name, f"it is damaged ({error})", error)
    except (NotImplementedError, RuntimeError) as error:  # zipfile's way to say: encrypted, unknown compression
        _refuse(name, f"it can't be unpacked ({error})", error)


def _write_picoclaw(members: Iterator[_Member], name: str, target: Path) -> None:
    content = 0
    for member in members:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts:
            _refuse(name, f"its member {member.name[:100]!r} points out of it")
        if not member.is_file and not member.is_folder:
            _refuse(name, f"its member {member.name[:100]!r} is a link or a device")
        content += member.size
        if content > MAX_CONTENT:
            _refuse(name, f"it unpacks to more than {MAX_CONTENT >> 20} MB")
        if member.is_file and path.name == "picoclaw":
            _write(member, name, target)
    if not target.exists():
        _refuse(name, "it holds no file picoclaw")


def _write(member: _Member, name: str, target: Path) -> None:
    if target.exists():
        _refuse(name, "it holds more than one file picoclaw")
    source = member.open()
    assert source is not None, "a regular file can be opened"
    with source, target.open("xb") as output:
        shutil.copyfileobj(source, output, 1 << 20)


def _tar_members(archive: Path) -> Iterator[_Member]:
    # Read as a stream, once: each member is offered while its content is next.
    with _BoundedGzip(archive) as content, tarfile.open(fileobj=content, mode="r|") as tar:
        for entry in tar:
            yield _Member(
                entry.name, entry.size, entry.isreg(), entry.isdir(), lambda entry=entry: tar.extractfile(entry)
            )


def _zip_members(archive: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(archive) as content:
        for entry in content.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)  # 0 where the archive was made on Windows
            folder = entry.filename.endswith("/")  # ZipInfo.is_dir fails where the name is empty
            is_file = kind in (0, stat.S_IFREG) and not folder
            is_folder = kind in (0, stat.S_IFDIR) and folder
            yield _Member(entry.filename, entry.file_size, is_file, is_folder, lambda entry=entry: content.open(entry))


class _BoundedGzip(gzip.GzipFile):
    """Ends with an error where a small archive unpacks to far too much, tar's own headers included."""

    _left = MAX_CONTENT + (16 << 20)

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self._left -= len(data)
        if self._left < 0:
            raise tarfile.ReadError(f"it unpacks to more than {MAX_CONTENT >> 20} MB")
        return data


def _refuse(name: str, problem: str, cause: Exception | None = None) -> NoReturn:
    raise ReleaseError(
        f"{name} was refused: {problem}.",
        reason=Reason.NO_RELEASE,
        next_step="Choose another version or another release_repo.",
    ) from cause
