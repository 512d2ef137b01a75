"""How a binary comes into the cache: downloaded and verified, or copied from a file of the user's own."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from picoclaw_fleet.errors import Reason, ReleaseError
from picoclaw_fleet.releases.archive import is_archive, unpack
from picoclaw_fleet.releases.assets import digests_for
from picoclaw_fleet.releases.cache import EXECUTABLE, keep, load, locked, part_of, sha256_of
from picoclaw_fleet.releases.release import Binary, Release, Verification

if TYPE_CHECKING:
    from picoclaw_fleet.releases.github import GitHub

_MAX_ASSET = 256 << 20
"""Bytes. An archive has some tens of MB."""


async def fetch(
    github: GitHub, release: Release, entry: Path, *, allow_unverified: bool, on_bytes: Callable[[int], None]
) -> Binary:
    """Downloads a release, verifies it and unpacks it into its entry, whose lock the caller holds.

    Raises:
        ReleaseError: It could not be downloaded, does not match its digest, has none, or holds no executable.
    """
    if release.size > _MAX_ASSET:
        raise ReleaseError(
            f"{release}: {release.size >> 20} MB is too large for a release of PicoClaw.",
            reason=Reason.NO_RELEASE,
            next_step="Choose another version or release_repo.",
        )
    expected, verified = await _expected_digest(github, release, allow_unverified)
    async with part_of(entry) as part:
        download = part / "download"
        digest = await _save(github, release, download, on_bytes)
        if expected and digest != expected:
            raise ReleaseError(
                f"{release}: what was downloaded has SHA-256 {digest}, but {expected} was published.",
                reason=Reason.CHECKSUM_MISMATCH,
                next_step="Don't install it. Tell the repository's owner; choose another version or release_repo.",
            )

        def store() -> Binary:
            _extract(download, release.asset, part / EXECUTABLE)
            download.unlink()
            return keep(part, entry, version=release.version, source=release.source, verified=verified)

        return await to_thread.run_sync(store)


async def adopt(path: Path, folder: Path) -> Binary:
    """Copies an archive or an executable of the user's own into a folder of the cache, by the executable's digest.

    Raises:
        ReleaseError: The archive is damaged or hostile.
    """
    incoming = folder / "incoming"
    async with locked(incoming), part_of(incoming) as part:
        executable = part / EXECUTABLE
        await to_thread.run_sync(_extract, path, path.name, executable)
        entry = folder / await to_thread.run_sync(sha256_of, executable)
        # An entry that is there stays as it is: another process may be uploading it.
        if binary := await load(entry):
            return replace(binary, source=str(path))

        def store() -> Binary:
            return keep(part, entry, version="", source=str(path), verified=Verification.LOCAL)

        return await to_thread.run_sync(store)


async def _expected_digest(github: GitHub, release: Release, allow_unverified: bool) -> tuple[str, Verification]:
    """The digest the download must have, and who says so; "" where nobody does and that is allowed."""
    if release.digest:
        return release.digest, Verification.DIGEST
    digests: set[str] = set()
    if release.checksums_url:
        checksums = await github.text(release.checksums_url, f"checksums of {release.source} {release.tag}")
        digests = digests_for(release.asset, checksums)
    if len(digests) == 1:
        return digests.pop(), Verification.CHECKSUMS
    if len(digests) > 1:
        raise ReleaseError(
            f"{release} can't be verified: the checksum file has {len(digests)} digests for it.",
            reason=Reason.CHECKSUM_MISMATCH,
            next_step="Tell the repository's owner; choose another version or release_repo.",
        )
    if not allow_unverified:
        raise ReleaseError(
            f"{release} can't be verified: neither the API nor a checksum file has a digest for it.",
            reason=Reason.CHECKSUM_MISMATCH,
            next_step="Choose another version or release_repo, or set allow_unverified in the config's defaults.",
        )
    return "", Verification.NONE


async def _save(github: GitHub, release: Release, target: Path, on_bytes: Callable[[int], None]) -> str:
    """Downloads the asset to a file; its SHA-256."""
    sha256 = hashlib.sha256()
    async with await anyio.open_file(target, "xb") as file:

        async def write(piece: bytes) -> None:
            await file.write(piece)
            await to_thread.run_sync(sha256.update, piece)

        await github.download(release.url, str(release), release.size, write, on_bytes)
    return sha256.hexdigest()


def _extract(file: Path, name: str, executable: Path) -> None:
    if is_archive(name):
        unpack(file, name, executable)
    else:
        shutil.copyfile(file, executable)
