"""Where releases come from, as the fleet config and the environment say."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from picoclaw_fleet.config.model import Defaults
from picoclaw_fleet.config.values import expand_home
from picoclaw_fleet.releases.releases import Releases

REPOSITORIES = ("EricGrill/picoclaw", "sipeed/picoclaw")
"""In this order, where the config names none: the first that has a release for the host."""


def cache_folder() -> Path:
    """Where downloads are kept: PICOCLAW_FLEET_CACHE_DIR, else the platform's place for caches.

    Raises:
        UsageError: It begins with a home directory that is not known.
    """
    named = os.environ.get("PICOCLAW_FLEET_CACHE_DIR")
    return expand_home(named) if named else platformdirs.user_cache_path("picoclaw-fleet")


class ReleaseSource:
    """Gives the same `Releases` for the same config, so that parallel deploys share look-ups and downloads."""

    def __init__(self) -> None:
        self._made: tuple[tuple[object, ...], Releases] | None = None

    def of(self, defaults: Defaults) -> Releases:
        """The releases that a config means.

        Raises:
            UsageError: A repository, the API's address or the token can't be one, or the folder not be found.
        """
        token = os.environ.get("GITHUB_TOKEN")
        repositories = (defaults.release_repo,) if defaults.release_repo else REPOSITORIES
        meant = (repositories, defaults.github_api, token, cache_folder(), defaults.allow_unverified)
        if self._made is None or self._made[0] != meant:
            self._made = meant, Releases(*meant)
        return self._made[1]
