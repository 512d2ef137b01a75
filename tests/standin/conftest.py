"""Hosts with the stand-in, and hosts with whatever is there to be compared: see `both`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.real_picoclaw.binaries import binaries
from tests.standin import install
from tests.standin.host import ALL, Host
from tests.standin.mock_llm import MockLLM


@pytest.fixture
def host(tmp_path: Path) -> Host:
    install(tmp_path)
    return Host(tmp_path)


@pytest.fixture(params=ALL)
def version(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def any_host(tmp_path: Path, version: str) -> Host:
    install(tmp_path, version=version)
    return Host(tmp_path)


@pytest.fixture
def llm() -> Iterator[MockLLM]:
    with MockLLM() as server:
        yield server


@pytest.fixture(params=["stand-in", "PicoClaw"] if binaries() else ["stand-in"])
def both(request: pytest.FixtureRequest, tmp_path: Path, version: str, llm: MockLLM) -> Host:
    """A host with the stand-in, and one with PicoClaw itself where `make picoclaw` has it; behind both is `llm`."""
    binary = install(tmp_path, version=version, api_base=llm.base_url)
    if request.param == "PicoClaw":
        if version not in binaries():
            pytest.skip(f"no binary of PicoClaw {version}")
        binary.unlink()
        binary.symlink_to(binaries()[version])
    return Host(tmp_path)
