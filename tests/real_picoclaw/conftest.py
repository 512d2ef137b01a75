"""What the tests with real binaries share. `make picoclaw` names those; here none is an error."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.embedded_fleet import EmbeddedFleet
from tests.github import GitHub, picoclaw_files
from tests.jobs.scenario import controller
from tests.real_picoclaw.binaries import binaries
from tests.standin.mock_llm import MockLLM

from picoclaw_fleet.fleet import Fleet

REPOSITORY = "sipeed/picoclaw"
KEY = "sk-of-the-real-picoclaw-4711"
KEY_VARIABLE = "REAL_PICOCLAW_KEY"


def pytest_report_header() -> str:
    """The binaries' versions."""
    if not binaries():
        raise pytest.UsageError("no binaries of PicoClaw; `make picoclaw PICOCLAW=FOLDER` names a folder with some")
    return f"PicoClaw: {', '.join(binaries())}"


@pytest.fixture(params=binaries())
def version(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def llm() -> Iterator[MockLLM]:
    with MockLLM() as server:
        yield server


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[int]:
    """The reading end of the FIFO that $PIDS names on the host."""
    os.mkfifo(tmp_path / "pids")
    end = os.open(tmp_path / "pids", os.O_RDWR | os.O_NONBLOCK)
    yield end
    os.close(end)


@pytest.fixture
async def embedded(
    tmp_path: Path, version: str, llm: MockLLM, pids: int, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[EmbeddedFleet]:
    """A bare host, a release of that version, and a model's server with a key for it."""
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with GitHub() as github:
        github.publish(REPOSITORY, f"v{version}", picoclaw_files(binaries()[version].read_bytes()))
        async with EmbeddedFleet(tmp_path) as embedded:
            await embedded.add("bare", picoclaw=b"", env={"PIDS": str(tmp_path / "pids")})
            embedded.defaults = {
                "github_api": github.api,
                "provider": "openai",
                "model": "mock-model",
                "api_base": llm.base_url,
                "api_key_env": KEY_VARIABLE,
            }
            embedded.write_config()
            yield embedded


@pytest.fixture
async def fleet(embedded: EmbeddedFleet) -> AsyncIterator[Fleet]:
    async with controller(embedded) as fleet:
        yield fleet
