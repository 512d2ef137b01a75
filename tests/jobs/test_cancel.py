"""Stopping jobs: verified on the host, whoever asks and whenever, and never more than was asked for."""

from __future__ import annotations

import asyncio
import os
import platform
import signal
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from pathlib import Path

import anyio
import pytest
from tests import standin
from tests.embedded_fleet import EmbeddedFleet, Gate
from tests.faults.hosts import Victim
from tests.faults.link import Link
from tests.jobs.scenario import SECONDS, controller, tasks_done, until

from picoclaw_fleet.assignment import Assignment
from picoclaw_fleet.fleet import Fleet
from picoclaw_fleet.jobs import contact, watch


@pytest.fixture
def gate(fleet: EmbeddedFleet) -> Gate:
    fleet.set_knobs(log="runs.log", exec=Gate.command)
    return fleet.gate("ada")


@pytest.fixture
async def ada(fleet: EmbeddedFleet, tmp_path: Path) -> AsyncIterator[Victim]:
    """A host behind a link that can be cut."""
    host = fleet.hosts["ada"]
    async with Link(host.address, host.port) as link:
        fleet.entries[0]["port"] = link.port
        fleet.write_config()
        yield Victim("ada", host.home, link, tmp_path / "unused.log")


async def _state(fleet: Fleet, job_id: str, seconds: float = 0) -> tuple[str, str | None]:
    result = (await fleet.result(job_id, wait_seconds=seconds)).model_dump()
    return result["state"], result["reason"]


async def test_a_running_job_is_stopped_and_nothing_of_it_is_left(
    fleet: EmbeddedFleet, gate: Gate, ada: Victim
) -> None:
    async with controller(fleet) as one:
        job = await one.dispatch("x", host="ada", wait_seconds=0)
        await gate.arrival()
        result = await one.cancel(job.job_id)
        assert [(entry.state, entry.reason) for entry in result.jobs] == [("cancelled", "cancelled")]
        await until(lambda: _is_quiet(ada))
        assert (await one.cancel(job.job_id)).jobs == []


async def test_a_running_job_of_a_host_that_the_config_has_no_more_is_stopped(fleet: EmbeddedFleet, gate: Gate) -> None:
    async with controller(fleet) as one:
        job = await one.dispatch("x", host="ada", wait_seconds=0)
        await gate.arrival()
        fleet.entries = [entry for entry in fleet.entries if entry["name"] != "ada"]
        fleet.write_config()
        with anyio.fail_after(SECONDS):
            result = await one.cancel(job.job_id)
        assert [(entry.state, entry.reason) for entry in result.jobs] == [("cancelled", "cancelled")]


async def _is_quiet(victim: Victim) -> bool:
    return not victim.processes()


async def test_stopping_at_any_moment_of_a_start_leaves_one_outcome_and_at_most_one_run(
    small_fleet: EmbeddedFleet,
) -> None:
    async with controller(small_fleet) as one:
        await one.dispatch("first", host="ada")
        for number in range(25):
            job = await one.dispatch(f"task {number}", host="ada", wait_seconds=0)
            await anyio.sleep(number * 0.002)
            await one.cancel(job.job_id)
            state, _ = await _state(one, job.job_id, SECONDS)
            runs = tasks_done(small_fleet.hosts["ada"].home).count(f"task {number}")
            assert (state, runs) in {("succeeded", 1), ("cancelled", 1), ("cancelled", 0)}
        status = await one.status(["ada"])
        assert status.hosts[0].running == 0


async def test_what_is_queued_and_what_runs_of_a_batch_is_stopped_by_another_process(
    fleet: EmbeddedFleet, gate: Gate
) -> None:
    async with controller(fleet) as one, controller(fleet) as two:
        batch = await one.dispatch_many([Assignment(task="x")] * 6, hosts=["ada"], wait_seconds=0)
        await gate.arrival()
        await gate.arrival()
        result = await two.cancel(batch_id=batch.batch_id)
        assert {(job.state, job.reason) for job in result.jobs} == {("cancelled", "cancelled")}
        assert result.total == 6
    assert len(standin.runs(fleet.hosts["ada"].home / "runs.log")) == 2


async def test_a_stop_is_kept_while_the_host_is_out_of_reach_and_said_to_be(
    fleet: EmbeddedFleet, gate: Gate, ada: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("picoclaw_fleet.fleet.CANCEL_SECONDS", 1)
    async with controller(fleet) as one:
        job = await one.dispatch("x", host="ada", wait_seconds=0)
        await gate.arrival()
        await until(lambda: _runs(one, job.job_id))
        ada.link.refuse()
        ada.link.reset()
        result = await one.cancel(job.job_id)
        assert [(entry.state, entry.reason) for entry in result.jobs] == [("running", "lost_contact")]
        assert "next contact" in (result.next_step or "")
        assert ada.processes()
    ada.link.flow()
    async with controller(fleet) as two:
        assert await _state(two, job.job_id, SECONDS) == ("cancelled", "cancelled")
        await until(lambda: _is_quiet(ada))


async def _runs(fleet: Fleet, job_id: str) -> bool:
    return await _state(fleet, job_id) == ("running", None)


async def test_a_job_that_is_stopped_while_its_host_does_not_answer_is_cancelled_and_did_not_fail(
    fleet: EmbeddedFleet, ada: Victim
) -> None:
    fleet.entries[0]["connect_timeout"] = 1
    fleet.write_config()
    async with controller(fleet) as one:
        await one.dispatch("first", host="ada")
        ada.link.stall()
        ada.link.reset_near()
        job = await one.dispatch("x", host="ada", wait_seconds=0)
        await one.cancel(job.job_id)
        assert await _state(one, job.job_id, SECONDS) == ("cancelled", "cancelled")
    ada.link.flow()


async def test_a_caller_who_is_cancelled_while_his_job_is_noted_leaves_none_that_nobody_runs(
    small_fleet: EmbeddedFleet,
) -> None:
    async with controller(small_fleet) as one:
        await one.dispatch("first")
        file = small_fleet.state / f"ledger-{platform.node()}.sqlite"
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            calls = [asyncio.create_task(one.dispatch("x", wait_seconds=0)) for _ in range(2)]
            await anyio.wait_all_tasks_blocked()
            for call in calls:
                call.cancel()
            await anyio.wait_all_tasks_blocked()
            other.execute("ROLLBACK")
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(end) for end in ends] == [asyncio.CancelledError] * 2
        await until(lambda: _none_is_queued(one))
        assert {job.state for job in (await one.jobs()).jobs} == {"succeeded"}


async def _none_is_queued(fleet: Fleet) -> bool:
    return all(job.state == "succeeded" for job in (await fleet.jobs()).jobs)


async def test_a_process_that_ends_marks_nothing(fleet: EmbeddedFleet, gate: Gate) -> None:
    async with controller(fleet) as one:
        batch = await one.dispatch_many([Assignment(task="x")] * 5, hosts=["ada"], wait_seconds=0)
        await gate.arrival()
        await gate.arrival()
    async with controller(fleet, fleet.folder / "elsewhere"):
        pass
    async with controller(fleet) as two:
        jobs = (await two.jobs(batch_id=batch.batch_id)).jobs
        assert {job.state for job in jobs} <= {"queued", "running"}
        assert {job.reason for job in jobs} <= {None, "lost_contact"}
        gate.open(5)
        result = (await two.result(batch_id=batch.batch_id, wait_seconds=SECONDS)).model_dump()
        assert result["counts"]["succeeded"] == 5
    assert len(standin.runs(fleet.hosts["ada"].home / "runs.log")) == 5


async def test_a_job_whose_guard_is_dead_is_stopped_when_its_time_is_up_and_called_timed_out(
    fleet: EmbeddedFleet, gate: Gate, ada: Victim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "WAIT_SECONDS", 1.0)
    monkeypatch.setattr(contact, "GUARD_GRACE_SECONDS", 1.0)
    async with controller(fleet) as one:
        job = await one.dispatch("x", host="ada", timeout_seconds=4, wait_seconds=0)
        await gate.arrival()
        for pid in ada.processes():
            with suppress(OSError):  # some end by themselves meanwhile
                if b"\0guard\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        assert await _state(one, job.job_id, SECONDS) == ("timed_out", "timeout")
        await until(lambda: _is_quiet(ada))
