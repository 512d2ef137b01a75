"""What is told while a call waits."""

from __future__ import annotations

import time

import anyio
import pytest

from picoclaw_fleet import progress
from picoclaw_fleet.progress import reporting


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_the_seconds_of_a_call_go_on_where_its_second_part_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PROGRESS_SECONDS", 0.01)
    told: list[float] = []
    heard = anyio.Event()

    async def note(seconds: float, _: str) -> None:
        told.append(seconds)
        heard.set()

    async with reporting(note, lambda: "", began=time.monotonic() - 100):
        await heard.wait()
    assert told[0] >= 100
