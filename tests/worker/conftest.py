"""What the tests of the worker share: a host without SSH, once for each shell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from tests.worker.site import Shell, Site, make_shell


@pytest.fixture(scope="session")
def shell_called(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Shell]:
    """Each shell is made once, with the hundreds of links of BusyBox: no test writes there."""
    folder = tmp_path_factory.mktemp("shells")

    @cache
    def made(name: str) -> Shell:
        return make_shell(name, folder / name)

    return made


@pytest.fixture(params=["dash", "bash", "busybox"])
def shell(request: pytest.FixtureRequest, shell_called: Callable[[str], Shell]) -> Shell:
    return shell_called(request.param)


@pytest.fixture
def dash(shell_called: Callable[[str], Shell]) -> Shell:
    return shell_called("dash")


@pytest.fixture
def site(tmp_path: Path, shell: Shell) -> Iterator[Site]:
    site = Site(tmp_path / "home", shell)
    yield site
    site.close()
