from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
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
