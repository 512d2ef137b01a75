"""What the tests with real clients share. `make clients` installs these; here one that is missing is an error."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.embedded_fleet import EmbeddedFleet
from tests.real_clients.claude_code import ClaudeCode
from tests.real_clients.client import RealClient
from tests.real_clients.codex import Codex
from tests.real_clients.gemini import GeminiCli
from tests.real_clients.openclaw import OpenClaw
from tests.real_clients.user import MODULES, User

CLIENTS = (OpenClaw, ClaudeCode, Codex, GeminiCli)
PACKAGES = ("openclaw", "@anthropic-ai/claude-code", "@openai/codex", "@google/gemini-cli")


def pytest_report_header() -> str:
    """The clients' versions."""
    missing = [package for package in PACKAGES if not (MODULES / package).exists()]
    if missing:
        raise pytest.UsageError(f"{', '.join(missing)} not installed below {MODULES}; `make clients` does it")
    found = (json.loads((MODULES / package / "package.json").read_text()) for package in PACKAGES)
    return "clients: " + ", ".join(f"{one['name']} {one['version']}" for one in found)


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[EmbeddedFleet]:
    async with EmbeddedFleet(tmp_path / "fleet") as fleet:
        for name in ("ada", "bob"):
            await fleet.add(name, slots=2)
        fleet.write_config()
        yield fleet


@pytest.fixture(params=CLIENTS, ids=lambda client: client.name)
def client(request: pytest.FixtureRequest, tmp_path: Path, fleet: EmbeddedFleet) -> RealClient:
    """A client that does not know of the server yet."""
    return request.param(User(tmp_path / "user", fleet))


@pytest.fixture(params=["clients-install", "readme"])
async def told(request: pytest.FixtureRequest, client: RealClient) -> RealClient:
    """A client that has been told of the server, in each of both ways."""
    if request.param == "readme":
        await client.user.follow_readme(client.title)
    else:
        await client.user.install(client.name)
    return client
