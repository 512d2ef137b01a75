"""A fault of ours in the background is logged, and the rest goes on."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import anyio
import pytest
from tests.jobs.scenario import SECONDS, end, make_jobs, until

from picoclaw_fleet.config.file import ConfigSource
from picoclaw_fleet.errors import LedgerError
from picoclaw_fleet.fleet import Fleet
from picoclaw_fleet.jobs import adoption, housekeeping
from picoclaw_fleet.jobs.adoption import Adoption
from picoclaw_fleet.jobs.board import Board
from picoclaw_fleet.jobs.dispatcher import Dispatcher
from picoclaw_fleet.jobs.housekeeping import Housekeeping
from picoclaw_fleet.jobs.ledger import Ledger
from picoclaw_fleet.jobs.output import OutputStore
from picoclaw_fleet.jobs.watch import JobWatch
from picoclaw_fleet.transport import Pool


class Faulty:
    """Fails whenever it is called, and tells when that was often enough."""

    def __init__(self, often: int = 2) -> None:
        self._left = often
        self.called = anyio.Event()

    def __call__(self, *_: object) -> NoReturn:
        self._left -= 1
        if not self._left:
            self.called.set()
        raise RuntimeError("a fault of ours")


@dataclass
class Parts:
    pool: Pool
    board: Board
    outputs: OutputStore
    watch: JobWatch


@pytest.fixture
async def parts(ledger: Ledger, tmp_path: Path) -> AsyncIterator[Parts]:
    async with Pool() as pool:
        outputs = OutputStore(tmp_path / "outputs")
        yield Parts(pool, Board(pool), outputs, JobWatch(pool, ledger, outputs))


async def until_called(faulty: Faulty, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs what never returns until the faulty part of it was called often enough."""
    with anyio.fail_after(SECONDS):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await faulty.called.wait()
            tasks.cancel_scope.cancel()


def nobody(_: str) -> None:
    """No host has that name."""


async def test_housekeeping_goes_on(
    ledger: Ledger, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(housekeeping, "ROUND_SECONDS", 0.01)
    (job,) = make_jobs()
    await ledger.add([job])
    job.on_host, job.host = True, "ada"
    ledger.record(end(job))
    await ledger.committed()
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as other, other:
        other.execute("UPDATE jobs SET finished_at = 'nonsense'")
    faulty = Faulty()

    keeper = Housekeeping(pool=parts.pool, board=parts.board, ledger=ledger, outputs=parts.outputs, host=faulty)
    await until_called(faulty, keeper.run)

    assert "A round of housekeeping broke off" in caplog.text
    assert "ada can't be cleared" in caplog.text


async def test_housekeeping_tells_in_a_line_that_the_ledger_can_t_be_used(
    ledger: Ledger, parts: Parts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(housekeeping, "ROUND_SECONDS", 0.01)
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as other, other:
        other.execute("DROP TABLE jobs")
    keeper = Housekeeping(pool=parts.pool, board=parts.board, ledger=ledger, outputs=parts.outputs, host=nobody)

    async def several_rounds_are_told() -> bool:
        return len(caplog.records) > 3

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.run)
        await until(several_rounds_are_told)
        tasks.cancel_scope.cancel()

    assert [record.getMessage() for record in caplog.records if "can't be used" not in record.getMessage()] == []
    assert not any(record.exc_info for record in caplog.records)


async def test_adoption_goes_on(
    ledger: Ledger, parts: Parts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(adoption, "LOOK_SECONDS", 0.01)
    jobs = make_jobs()
    await ledger.add(jobs)
    await ledger.want_stop(jobs)
    faulty = Faulty()

    watcher = Adoption(ledger=ledger, board=parts.board, watch=parts.watch, host=nobody, stop=faulty, take_back=faulty)
    await until_called(faulty, watcher.run)

    assert "Looking for what others have left broke off" in caplog.text


async def test_who_stops_a_job_goes_on(ledger: Ledger, parts: Parts, caplog: pytest.LogCaptureFixture) -> None:
    faulty = Faulty(1)
    (job,) = make_jobs()
    job.sent, job.host = True, "ada"

    async with anyio.create_task_group() as tasks:
        dispatcher = Dispatcher(ledger, parts.board, parts.watch, faulty, tasks)
        dispatcher.stop(job)

    assert faulty.called.is_set()
    assert f"Stopping job {job.job_id} broke off" in caplog.text


async def test_a_fleet_that_can_t_be_opened_leaves_nothing_open(tmp_path: Path) -> None:
    fleet = Fleet(ConfigSource(tmp_path / "none.json"), state=tmp_path)
    (tmp_path / f"ledger-{platform.node()}.holders").touch()
    with pytest.raises(LedgerError, match="can't be written to"):
        async with fleet:
            pass
    assert list(_opened_in(tmp_path)) == []


def _opened_in(folder: Path) -> Iterator[Path]:
    """What this process has open below a folder."""
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # it was open to read that very list
            if entry.readlink().is_relative_to(folder):
                yield entry.readlink()
