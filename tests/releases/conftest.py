"""A GitHub-shaped server, and Releases that use it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.certificate import trusted_alone
from tests.github import GitHub
from tests.releases.scenario import (
    FORK,
    UPSTREAM,
    Maker,
)

from picoclaw_fleet.releases import Releases


@pytest.fixture(autouse=True)
def trust(tmp_path: Path) -> Iterator[None]:
    with trusted_alone(tmp_path / "trusted"):
        yield


@pytest.fixture
def github() -> Iterator[GitHub]:
    with GitHub() as server:
        yield server


@pytest.fixture
def releases(github: GitHub, tmp_path: Path) -> Maker:
    def make(
        *repositories: str, token: str | None = None, allow_unverified: bool = False, silence: float = 20.0
    ) -> Releases:
        return Releases(
            repositories or (FORK, UPSTREAM),
            github.api,
            token,
            tmp_path / "cache",
            allow_unverified,
            silence=silence,
        )

    return make
