"""What is safely here goes from the hosts, what is old goes from here, and nothing else goes."""

from __future__ import annotations

import platform
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.embedded_fleet import EmbeddedFleet
from tests.jobs.scenario import SECONDS, controller, end

from picoclaw_fleet.config.inventory import Inventory
from picoclaw_fleet.config.model import FleetConfig
from picoclaw_fleet.fleet import Fleet
from picoclaw_fleet.jobs import housekeeping
from picoclaw_fleet.jobs.board import Board
from picoclaw_fleet.jobs.housekeeping import Housekeeping
from picoclaw_fleet.jobs.ledger import Ledger
from picoclaw_fleet.jobs.model import Job
from picoclaw_fleet.jobs.output import OutputStore
from picoclaw_fleet.transport import Pool


def _folders(fleet: EmbeddedFleet, name: str = "ada") -> set[str]:
    jobs = fleet.hosts[name].home / ".picoclaw/fleet" / platform.node() / "jobs"
    return {folder.name for folder in jobs.iterdir()} if jobs.exists() else set()


def _housekeeping(fleet: Fleet) -> Housekeeping:
    return Housekeeping(
        pool=fleet._pool,  # pyright: ignore[reportPrivateUsage]
        board=fleet._board,  # pyright: ignore[reportPrivateUsage]
        ledger=fleet._ledger,  # pyright: ignore[reportPrivateUsage]
        outputs=fleet._outputs,  # pyright: ignore[reportPrivateUsage]
        host=fleet._roster.find,  # pyright: ignore[reportPrivateUsage]
    )


async def test_a_host_forgets_what_is_here_and_nothing_that_runs(fleet: EmbeddedFleet) -> None:
    gate = fleet.gate("ada")
    fleet.set_knobs(by_task=[{"contains": "held", "exec": gate.command}])
    async with controller(fleet) as one:
        done = await one.dispatch("x", host="ada", wait_seconds=SECONDS)
        held = await one.dispatch("held", host="ada", wait_seconds=0)
        await gate.arrival()
        assert _folders(fleet) == {done.job_id, held.job_id}
        await _housekeeping(one).clear_hosts()
        assert _folders(fleet) == {held.job_id}
        again = (await one.result(done.job_id)).model_dump()
        assert (again["state"], again["answer"]) == ("succeeded", "done: x")
        gate.open()
        await one.result(held.job_id, wait_seconds=SECONDS)


async def test_of_a_host_that_the_config_has_no_more_nothing_is_known_once_no_job_is_there() -> None:
    names = ("here", "there")
    config = FleetConfig.model_validate({"hosts": [{"name": name, "host": "192.0.2.1"} for name in names]})
    here, there = Inventory.from_config(config).hosts
    async with Pool() as pool:
        board = Board(pool)
        for host in (here, there):
            board.view(host).failures = 1
        board.view(there).jobs.add("j_1")
        board.forget_strangers({"here": here}.get)
        assert board.view(there).failures == 1
        board.view(there).jobs.clear()
        board.forget_strangers({"here": here}.get)
        assert (board.view(here).failures, board.view(there).failures) == (1, 0)


async def test_files_that_a_worker_left_stay_on_its_host(fleet: EmbeddedFleet) -> None:
    fleet.set_knobs(write_files={"report.txt": "kept"})
    async with controller(fleet) as one:
        job = await one.dispatch("x", host="ada", wait_seconds=SECONDS)
        assert job.files == ["report.txt"]
        await _housekeeping(one).clear_hosts()
    jobs = fleet.hosts["ada"].home / ".picoclaw/fleet" / platform.node() / "jobs"
    assert (jobs / job.job_id / "workspace/report.txt").read_text() == "kept"
    assert not (jobs / job.job_id / "out").exists()


async def test_two_processes_may_clear_a_host_at_once(fleet: EmbeddedFleet) -> None:
    async with controller(fleet) as one, controller(fleet) as two:
        await one.dispatch("x", host="ada", wait_seconds=SECONDS)
        await two.status()
        for _ in range(2):
            await _housekeeping(one).clear_hosts()
            await _housekeeping(two).clear_hosts()
        assert _folders(fleet) == set()


async def test_what_a_host_could_not_forget_is_asked_for_again(fleet: EmbeddedFleet) -> None:
    async with controller(fleet) as one:
        job = await one.dispatch("x", host="ada", wait_seconds=SECONDS)
        (runner,) = (fleet.hosts["ada"].home / ".picoclaw/fleet" / platform.node()).glob("runner-*")
        away = runner.rename(runner.with_name("away"))
        await _housekeeping(one).clear_hosts()
        assert _folders(fleet) == {job.job_id}
        away.rename(runner)
        await _housekeeping(one).clear_hosts()
        assert _folders(fleet) == set()


async def test_a_host_that_can_not_forget_is_not_asked_all_the_time(fleet: EmbeddedFleet) -> None:
    async with controller(fleet) as one:
        job = await one.dispatch("x", host="ada", wait_seconds=SECONDS)
        (runner,) = (fleet.hosts["ada"].home / ".picoclaw/fleet" / platform.node()).glob("runner-*")
        away = runner.rename(runner.with_name("away"))
        keeper = _housekeeping(one)
        await keeper.clear_hosts()
        away.rename(runner)
        await keeper.clear_hosts()
        assert _folders(fleet) == {job.job_id}


async def test_a_host_keeps_what_can_not_be_brought_onto_the_disk_here(fleet: EmbeddedFleet) -> None:
    async with controller(fleet) as one:
        jobs = [await one.dispatch(task, host="ada", wait_seconds=SECONDS) for task in ("x", "y")]
        answer = fleet.state / "outputs" / jobs[0].job_id / "answer"
        away = answer.rename(answer.with_name("away"))
        answer.symlink_to(answer)
        await _housekeeping(one).clear_hosts()
        assert _folders(fleet) == {jobs[0].job_id}
        away.replace(answer)
        await _housekeeping(one).clear_hosts()
        assert _folders(fleet) == set()


async def test_a_host_out_of_reach_is_cleared_when_it_is_back(fleet: EmbeddedFleet) -> None:
    async with controller(fleet) as one:
        job = await one.dispatch("x", host="ada", wait_seconds=SECONDS)
    port = fleet.entries[0]["port"]
    fleet.entries[0]["port"] = 1
    fleet.write_config()
    async with controller(fleet) as two:
        await two.status()
        await _housekeeping(two).clear_hosts()
        assert _folders(fleet) == {job.job_id}
        fleet.entries[0]["port"] = port
        fleet.write_config()
        await two.status()
        await _housekeeping(two).clear_hosts()
        assert _folders(fleet) == set()


@pytest.fixture
def outputs(tmp_path: Path) -> OutputStore:
    return OutputStore(tmp_path / "outputs")


async def _finished(ledger: Ledger, outputs: OutputStore, days: float, size: int = 10) -> Job:
    """A job that ended so many days ago."""
    job = Job("x", ("ada",), 60)
    await ledger.add([job])
    with outputs.storing(job.job_id, ()) as writer:
        writer.stdout("\n🦞 x\n".encode())
        writer.end_of_stdout()
    job.output_bytes = size
    end(job).finished_at = datetime.now(UTC) - timedelta(days=days)
    ledger.record(job)
    return job


async def _left(ledger: Ledger, outputs: OutputStore) -> set[str]:
    """The jobs that are still there once what is old has been removed; of the others nothing is."""
    async with Pool() as pool:
        keeper = Housekeeping(pool=pool, board=Board(pool), ledger=ledger, outputs=outputs, host=lambda _: None)
        before = {job.job_id for job in (await ledger.page(limit=1000))[0]}
        await keeper.remove_old()
    after = {job.job_id for job in (await ledger.page(limit=1000))[0]}
    assert all(outputs.page(job_id).answer for job_id in after & before)
    assert not any(outputs.page(job_id).answer for job_id in before - after)
    return after


async def test_what_ended_more_than_thirty_days_ago_goes(ledger: Ledger, outputs: OutputStore) -> None:
    await _finished(ledger, outputs, 31)
    young = await _finished(ledger, outputs, 29)
    assert await _left(ledger, outputs) == {young.job_id}


async def test_the_oldest_outputs_go_while_all_together_are_too_much(
    ledger: Ledger, outputs: OutputStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "KEPT_BYTES", 250)
    jobs = [await _finished(ledger, outputs, days, 100) for days in (5, 4, 3, 2)]
    assert await _left(ledger, outputs) == {jobs[2].job_id, jobs[3].job_id}


async def test_what_has_not_ended_never_goes(ledger: Ledger, outputs: OutputStore) -> None:
    old = Job("x", ("ada",), 60, created_at=datetime.now(UTC) - timedelta(days=400))
    await ledger.add([old])
    with outputs.storing(old.job_id, ()) as writer:
        writer.stdout("\n🦞 partly here\n".encode())
        writer.end_of_stdout()
    assert await _left(ledger, outputs) == {old.job_id}
