"""What the tests of the worker share: a host without SSH, once for each shell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.worker.site import Shell, Site, make_shell


@pytest.fixture(params=["dash", "bash", "busybox"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Shell:
    return make_shell(request.param, tmp_path / "bin")


@pytest.fixture
def dash(tmp_path: Path) -> Shell:
    return make_shell("dash", tmp_path / "bin")


@pytest.fixture
def site(tmp_path: Path, shell: Shell) -> Iterator[Site]:
    site = Site(tmp_path / "home", shell)
    yield site
    site.close()
