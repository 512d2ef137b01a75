"""What the dispatcher remembers of what was asked for, and what it stops."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from tests.jobs.scenario import die, make_jobs, process

from picoclaw_fleet.errors import State
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


async def test_what_was_taken_over_to_be_stopped_is_stopped_though_the_ledger_can_t_be_read_any_more(
    ledger: Ledger, tmp_path: Path
) -> None:
    queued, sent = make_jobs(2, "b_1")
    sent.sent, sent.host = True, "ada"
    async with process(tmp_path) as other:
        await other.add([queued, sent])
        await die(other)
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as file:
        file.execute(
            f"CREATE TRIGGER spoil AFTER UPDATE OF holder ON jobs BEGIN "
            f"UPDATE jobs SET state = 'nonsense' WHERE job_id = '{sent.job_id}'; END"
        )
    async with Pool() as pool, anyio.create_task_group() as tasks:
        watch = JobWatch(pool, ledger, OutputStore(tmp_path / "outputs"))
        with pytest.raises(ValueError, match="nonsense"):
            await Dispatcher(ledger, Board(pool), watch, lambda: (), tasks).stop_all("b_1")
    assert (await ledger.job(queued.job_id)).state is State.CANCELLED
