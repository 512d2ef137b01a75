"""What the tests of releases share: an executable, its platform, and the way from a version to a binary."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from picoclaw_fleet.errors import ReleaseError
from picoclaw_fleet.releases import Binary, Platform, Releases

FORK, UPSTREAM = "EricGrill/picoclaw", "sipeed/picoclaw"
# Random at its end, so that an archive of it has more than one chunk.
EXECUTABLE = b"#!/bin/sh\necho 'picoclaw 0.2.9'\n#" + random.Random(29).randbytes(700_000)
SHA256 = hashlib.sha256(EXECUTABLE).hexdigest()
ARM64 = Platform("Linux", "arm64")
ARM64_ARCHIVE = "picoclaw_Linux_arm64.tar.gz"
TOKEN = "ghp_thisIsNoRealToken0123456789"

Maker = Callable[..., Releases]


def files_in(folder: Path) -> list[str]:
    """Every file below a folder except locks."""
    return sorted(
        str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file() and file.suffix != ".lock"
    )


async def binary_of(releases: Releases, platform: Platform = ARM64, version: str = "") -> Binary:
    with anyio.fail_after(30):
        return await releases.binary(await releases.find(version, platform))


async def failure_of(releases: Releases, platform: Platform = ARM64, version: str = "") -> ReleaseError:
    with pytest.raises(ReleaseError) as caught:
        await binary_of(releases, platform, version)
    return caught.value
