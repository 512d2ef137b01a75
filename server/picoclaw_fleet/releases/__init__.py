"""PicoClaw's releases: which asset fits a host, its download, its verification, and the cache of binaries."""

from __future__ import annotations

from picoclaw_fleet.releases.assets import Platform
from picoclaw_fleet.releases.release import Binary, Release, Verification
from picoclaw_fleet.releases.releases import Releases

__all__ = ["Binary", "Platform", "Release", "Releases", "Verification"]
