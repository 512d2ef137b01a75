"""The dispatcher's memory of what was asked for."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from tests.jobs.scenario import make_jobs

from picoclaw_fleet.jobs import dispatcher
from picoclaw_fleet.jobs.board import Board
from picoclaw_fleet.jobs.dispatcher import Dispatcher
from picoclaw_fleet.jobs.ledger import Ledger
from picoclaw_fleet.jobs.output import OutputStore
from picoclaw_fleet.jobs.watch import JobWatch
from picoclaw_fleet.transport import Pool


async def test_what_was_asked_for_long_ago_is_forgotten_and_waits_until_it_is_again(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "MOST_NAMED", 2)
    jobs = make_jobs(3)
    await ledger.add(jobs)
    async with Pool() as pool, anyio.create_task_group() as tasks:
        watch = JobWatch(pool, ledger, OutputStore(tmp_path / "outputs"))
        one = Dispatcher(ledger, Board(pool), watch, lambda: (), tasks)
        for number in (0, 1, 0, 2):
            await one.set_going(jobs[number].job_id)
        for job in jobs:
            one.take_back(job)
        assert [ledger.holds(job) for job in jobs] == [True, False, True]
        tasks.cancel_scope.cancel()
