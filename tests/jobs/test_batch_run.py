"""How the jobs of a batch come to hosts, and what happens when hosts are slow, full, down or go down."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from tests import standin
from tests.embedded_fleet import EmbeddedFleet, Gate
from tests.faults.hosts import Disk
from tests.faults.link import Link
from tests.jobs.scenario import COUNTED, SECONDS, SMALL_PICOCLAW, controller, most_at_once, tasks_done, until

from picoclaw_fleet.assignment import Assignment
from picoclaw_fleet.errors import LedgerError
from picoclaw_fleet.fleet import Fleet
from picoclaw_fleet.jobs import board, contact
from picoclaw_fleet.results import BatchResult
from picoclaw_fleet.worker.contract import RUNNER


def _tasks(count: int) -> list[Assignment]:
    return [Assignment(task=f"task {number}") for number in range(count)]


async def _finish(fleet: Fleet, batch: BatchResult) -> BatchResult:
    with anyio.fail_after(4 * SECONDS):
        while batch.counts.queued + batch.counts.running:
            again = await fleet.result(batch_id=batch.batch_id, wait_seconds=50)
            assert isinstance(again, BatchResult)
            batch = again
    return batch


async def test_a_slow_host_gets_fewer_tasks(fleet: EmbeddedFleet) -> None:
    quick, slow = fleet.gate("ada"), fleet.gate("bob")
    fleet.set_knobs(exec=Gate.command)
    async with controller(fleet) as one:
        batch = await one.dispatch_many(_tasks(24), wait_seconds=0)
        for _ in range(2):
            await slow.arrival()
        quick.open(22)
        await until(lambda: _have_succeeded(one, 22))
        slow.open(2)
        batch = await _finish(one, batch)
    assert batch.counts.succeeded == 24
    assert Counter(job.host for job in batch.jobs) == {"ada": 22, "bob": 2}


async def test_a_broadcast_runs_on_each_named_host_even_on_one_that_is_down(small_fleet: EmbeddedFleet) -> None:
    small_fleet.entries.append(small_fleet.entry("down", port=1))
    small_fleet.write_config()
    async with controller(small_fleet) as one:
        batch = await one.dispatch_many(_tasks(2), hosts=["all"], mode="broadcast")
    ends = sorted((job.host, job.state, job.reason) for job in batch.jobs)
    assert ends == sorted(
        [(name, "succeeded", None) for name in ("ada", "bob", "cyd")] * 2 + [("down", "failed", "unreachable")] * 2
    )


async def test_the_runner_is_put_on_a_host_once(small_fleet: EmbeddedFleet) -> None:
    folder = small_fleet.hosts["ada"].home / ".picoclaw/fleet"
    async with controller(small_fleet) as one:
        await one.dispatch_many(_tasks(4), hosts=["ada"])
        (runner,) = folder.glob("*/runner-*")
        first = runner.stat().st_mtime_ns
        await one.dispatch_many(_tasks(4), hosts=["ada"])
    # Each time it is put there it is a new file.
    assert runner.stat().st_mtime_ns == first


async def test_a_runner_that_a_power_cut_has_emptied_is_put_there_anew(small_fleet: EmbeddedFleet) -> None:
    """What is written and renamed shortly before the power fails is there afterwards, and empty."""
    async with controller(small_fleet) as one:
        await one.dispatch("x", host="ada")
        (runner,) = (small_fleet.hosts["ada"].home / ".picoclaw/fleet").glob("*/runner-*")
        runner.write_bytes(b"")
        with anyio.fail_after(SECONDS):
            assert (await one.dispatch("y", host="ada", wait_seconds=SECONDS)).state == "succeeded"
    assert runner.read_bytes() == RUNNER


async def test_a_host_that_does_not_say_whether_a_job_runs_is_asked_again(
    small_fleet: EmbeddedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = small_fleet.hosts["ada"].home
    async with controller(small_fleet) as one:
        await one.dispatch("first", host="ada")
        (runner,) = ada.glob(".picoclaw/fleet/*/runner-*")
        works = runner.read_bytes()
        runner.write_text("exec sleep 1000\n")
        monkeypatch.setattr(contact, "START_SECONDS", 0.1)
        job = await one.dispatch("second", host="ada", wait_seconds=0)
        await until(lambda: _is_told(one, job.job_id, "has not said within 0.1 s"))

        runner.write_bytes(works)
        monkeypatch.undo()
        assert (await one.result(job.job_id, wait_seconds=SECONDS)).model_dump()["state"] == "succeeded"
    assert tasks_done(ada) == ["first", "second"]


async def _is_told(fleet: Fleet, job_id: str, words: str) -> bool:
    return words in ((await fleet.result(job_id, wait_seconds=0)).model_dump()["message"] or "")


async def test_several_calls_share_the_slots_of_a_host_and_all_get_their_turn(
    fleet: EmbeddedFleet, tmp_path: Path
) -> None:
    log = tmp_path / "running.log"
    fleet.set_knobs(exec=COUNTED.format(log=log, seconds=0.1))
    states: list[str] = []
    async with controller(fleet) as one:

        async def ask() -> None:
            states.append((await one.dispatch("x", host="ada", wait_seconds=SECONDS)).state)

        with anyio.fail_after(SECONDS):
            async with anyio.create_task_group() as tasks:
                for _ in range(6):
                    tasks.start_soon(ask)
    assert states == ["succeeded"] * 6
    assert most_at_once(log) <= 2


async def test_a_slot_that_another_controller_gives_back_is_found(fleet: EmbeddedFleet) -> None:
    gate = fleet.gate("ada")
    fleet.set_knobs(by_task=[{"contains": "held", "exec": gate.command}])
    async with controller(fleet) as one, controller(fleet, fleet.folder / "elsewhere") as other:
        held = await other.dispatch_many([Assignment(task="held")] * 2, hosts=["ada"], wait_seconds=0)
        for _ in range(2):
            await gate.arrival()
        waiting = await one.dispatch("x", host="ada", wait_seconds=1)
        assert waiting.state == "queued"
        gate.open(2)
        result = await one.result(waiting.job_id, wait_seconds=SECONDS)
        assert result.model_dump()["state"] == "succeeded"
        assert (await _finish(other, held)).counts.succeeded == 2


async def test_an_edit_of_the_config_while_jobs_run_costs_no_slot(fleet: EmbeddedFleet) -> None:
    gate = fleet.gate("ada")
    fleet.set_knobs(by_task=[{"contains": "held", "exec": gate.command}])
    async with controller(fleet) as one:
        held = await one.dispatch_many([Assignment(task="held")] * 2, hosts=["ada"], wait_seconds=0)
        for _ in range(2):
            await gate.arrival()
        fleet.entries[0]["tags"] = ["edited"]
        fleet.write_config()
        waiting = await one.dispatch("x", host="ada", wait_seconds=0)
        gate.open(2)
        assert (await _finish(one, held)).counts.succeeded == 2
        result = await one.result(waiting.job_id, wait_seconds=SECONDS)
        assert result.model_dump()["state"] == "succeeded"
        assert (await one.status(["ada"])).hosts[0].free_slots == 2


async def test_paused_hosts_are_tried_last(small_fleet: EmbeddedFleet) -> None:
    small_fleet.entries.insert(0, small_fleet.entry("down", port=1))
    small_fleet.write_config()
    async with controller(small_fleet) as one:
        await one.status()
        view = one._board.view(one.inventory().get("down"))  # pyright: ignore[reportPrivateUsage]
        assert view.left_alone
        pause = view.left_alone_until
        batch = await _finish(one, await one.dispatch_many(_tasks(12)))
        assert batch.counts.succeeded == 12
        assert view.left_alone_until == pause
        only = await one.dispatch("x", host="down")
        assert (only.state, only.reason) == ("failed", "unreachable")
        assert view.left_alone_until > pause


async def test_a_host_that_is_back_is_used_though_another_one_is_still_left_alone(
    fleet: EmbeddedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = fleet.gate("ada")
    standin.set_knobs(fleet.hosts["ada"].home, exec=Gate.command)
    bob = fleet.hosts["bob"]
    async with Link(bob.address, bob.port) as link, controller(fleet) as one:
        fleet.entries[1]["port"] = link.port
        fleet.entries.insert(0, fleet.entry("down", port=1))
        fleet.write_config()
        monkeypatch.setattr(board, "_FIRST_PAUSE_SECONDS", 300.0)
        await one.status()
        monkeypatch.setattr(board, "_FIRST_PAUSE_SECONDS", 0.1)
        link.refuse()
        link.reset()
        batch = await one.dispatch_many(_tasks(4), wait_seconds=0)
        for _ in range(2):
            await gate.arrival()
        link.flow()
        await until(lambda: _have_succeeded(one, 2))
        gate.open(2)
        assert (await _finish(one, batch)).counts.succeeded == 4


async def test_a_host_that_had_failed_before_the_batch_is_used_as_soon_as_it_is_back(
    fleet: EmbeddedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = fleet.gate("ada")
    standin.set_knobs(fleet.hosts["ada"].home, exec=Gate.command)
    bob = fleet.hosts["bob"]
    async with Link(bob.address, bob.port) as link, controller(fleet) as one:
        fleet.entries[1]["port"] = link.port
        fleet.write_config()
        monkeypatch.setattr(board, "_FIRST_PAUSE_SECONDS", 2.0)
        link.refuse()
        await one.status()
        link.flow()
        batch = await one.dispatch_many(_tasks(6), wait_seconds=0)
        await until(lambda: _have_succeeded(one, 2))
        gate.open(4)
        assert (await _finish(one, batch)).counts.succeeded == 6


async def _have_succeeded(fleet: Fleet, jobs: int) -> bool:
    return (await fleet.jobs(state="succeeded")).total >= jobs


async def test_a_batch_of_many_tasks_does_not_keep_another_call_waiting_for_its_end(tmp_path: Path) -> None:
    async with EmbeddedFleet(tmp_path / "fleet") as fleet:
        await fleet.add("ada", slots=1, knobs={"exec": Gate.command})
        fleet.write_config()
        gate = fleet.gate("ada")
        async with controller(fleet) as one:
            batch = await one.dispatch_many(_tasks(6), wait_seconds=0)
            await gate.arrival()
            job = await one.dispatch("another", wait_seconds=0)
            for _ in range(5):
                gate.open()
                await gate.departure()
            assert (await one.result(job.job_id, wait_seconds=SECONDS)).model_dump()["state"] == "succeeded"
            gate.open(2)
            assert (await _finish(one, batch)).counts.succeeded == 6


async def test_a_host_that_goes_down_for_good_in_the_middle_leaves_its_tasks_to_the_others(
    small_fleet: EmbeddedFleet,
) -> None:
    host = small_fleet.hosts["ada"]
    async with Link(host.address, host.port) as link:
        small_fleet.entries[0]["port"] = link.port
        small_fleet.write_config()
        async with controller(small_fleet) as one:
            batch = await one.dispatch_many(_tasks(60), wait_seconds=0)
            await until(lambda: _has(host.home, 5))
            link.refuse()
            link.reset()
            await until(lambda: _only_lost_contact_is_left(one))
            link.flow()
            batch = await _finish(one, batch)
    done = [task for each in small_fleet.hosts.values() for task in tasks_done(each.home)]
    assert batch.counts.succeeded == 60
    assert sorted(done) == sorted(f"task {number}" for number in range(60))


async def _has(home: Path, tasks: int) -> bool:
    return len(tasks_done(home)) >= tasks


async def _only_lost_contact_is_left(fleet: Fleet) -> bool:
    """Whether all that has not ended is on a host out of reach."""
    queued, running = [(await fleet.jobs(state=state, limit=100)).jobs for state in ("queued", "running")]
    return all(job.reason == "lost_contact" for job in (*queued, *running))


async def _nothing_runs_in_reach(fleet: Fleet) -> bool:
    return all(job.reason == "lost_contact" for job in (await fleet.jobs(state="running")).jobs)


async def test_a_restart_of_the_only_ssh_server_does_not_fail_what_is_queued(small_fleet: EmbeddedFleet) -> None:
    host = small_fleet.hosts["ada"]
    async with Link(host.address, host.port) as link:
        small_fleet.entries[0]["port"] = link.port
        small_fleet.write_config()
        async with controller(small_fleet) as one:
            batch = await one.dispatch_many(_tasks(30), hosts=["ada"], wait_seconds=0)
            await until(lambda: _has(host.home, 5))
            link.refuse()
            link.reset()
            await until(lambda: _nothing_runs_in_reach(one))
            link.flow()
            batch = await _finish(one, batch)
    assert batch.counts.succeeded == 30
    assert sorted(tasks_done(host.home)) == sorted(f"task {number}" for number in range(30))


async def test_a_cut_link_does_not_stop_a_job_however_short_its_time(fleet: EmbeddedFleet) -> None:
    gate = fleet.gate("ada")
    fleet.set_knobs(exec=gate.command)
    async with controller(fleet) as one:
        job = await one.dispatch("x", host="ada", timeout_seconds=15, wait_seconds=0)
        await gate.arrival()
        await until(lambda: _is_running(one, job.job_id))
        fleet.hosts["ada"].drop_connections()
        await until(lambda: _has_reason(one, job.job_id, "lost_contact"))
        await until(lambda: _has_reason(one, job.job_id, None))
        gate.open()
        result = await one.result(job.job_id, wait_seconds=SECONDS)
        assert result.model_dump()["state"] == "succeeded"


async def _is_running(fleet: Fleet, job_id: str) -> bool:
    return (await fleet.result(job_id)).model_dump()["state"] == "running"


async def _has_reason(fleet: Fleet, job_id: str, reason: str | None) -> bool:
    return (await fleet.result(job_id)).model_dump()["reason"] == reason


async def test_an_order_that_was_held_up_on_its_way_is_not_carried_out_twice(small_fleet: EmbeddedFleet) -> None:
    """The connection breaks while a task is being sent, the next attempt finds no slot, and then the first arrives."""
    task = "once only " + "x" * 100_000
    gate = small_fleet.gate("ada")
    ada, bob, _ = small_fleet.entries
    ada["slots"] = bob["slots"] = 1
    host = small_fleet.hosts["ada"]
    _hold(small_fleet, gate)
    async with Link(host.address, host.port) as link:
        small_fleet.entries = [{**ada, "port": link.port}, bob]
        small_fleet.write_config()
        async with controller(small_fleet) as one, controller(small_fleet, small_fleet.folder / "other") as other:
            await one.status()
            await other.status()
            link.hold_after(20_000)
            job = await one.dispatch(task, wait_seconds=0)
            with anyio.fail_after(SECONDS):
                await link.exhausted.wait()
            # From here on the other controller's job has the slot.
            small_fleet.entries = [ada, bob]
            small_fleet.write_config()
            held = await other.dispatch("held", host="ada", wait_seconds=0)
            await gate.arrival()
            link.reset_near()
            await until(lambda: _is_queued_again(one, job.job_id))
            gate.open()
            assert (await other.result(held.job_id, wait_seconds=SECONDS)).model_dump()["state"] == "succeeded"
            link.flow()
            result = (await one.result(job.job_id, wait_seconds=SECONDS)).model_dump()
            assert (result["state"], result["host"]) == ("succeeded", "ada")
    assert [tasks_done(each.home).count(task) for each in small_fleet.hosts.values()] == [1, 0, 0]


def _hold(fleet: EmbeddedFleet, gate: Gate) -> None:
    """Has tasks named "held" wait at the gate."""
    waiting = f"case $task in *held*) {gate.command} ;; esac\nprintf".encode()
    for host in fleet.hosts.values():
        (host.home / ".local/bin/picoclaw").write_bytes(SMALL_PICOCLAW.replace(b"printf", waiting))


async def _is_queued_again(fleet: Fleet, job_id: str) -> bool:
    """Whether the host has refused it, or the job has gone elsewhere."""
    job = await fleet._ledger.job(job_id)  # pyright: ignore[reportPrivateUsage]
    return not job.sent or job.host != "ada"


async def test_an_output_that_can_t_be_stored_stays_on_the_host_until_it_can(fleet: EmbeddedFleet) -> None:
    async with controller(fleet) as one:
        outputs = fleet.state / "outputs"
        outputs.write_text("in the way")
        job = await one.dispatch("x", host="ada", wait_seconds=0)
        await until(lambda: _is_told(one, job.job_id, "fetched as soon as it can be"))
        waiting = (await one.result(job.job_id)).model_dump()
        assert (waiting["state"], waiting["reason"]) == ("running", "disk_full")
        outputs.unlink()
        result = (await one.result(job.job_id, wait_seconds=SECONDS)).model_dump()
        assert (result["state"], result["answer"], result["reason"]) == ("succeeded", "done: x", None)


async def test_an_output_that_finds_no_room_leaves_the_ledger_its_own(fleet: EmbeddedFleet, small_disk: Disk) -> None:
    fleet.set_knobs(by_task=[{"contains": "large", "huge": 6 << 20}])
    (small_disk.folder / "ballast").write_bytes(bytes(8 << 20))
    async with controller(fleet, small_disk.folder / "state") as one:
        large = await one.dispatch("large", host="ada", wait_seconds=0)
        job = await one._ledger.job(large.job_id)  # pyright: ignore[reportPrivateUsage]
        with anyio.fail_after(SECONDS):
            while job.reason is None:
                await one._ledger.change(job.job_id)  # pyright: ignore[reportPrivateUsage]
            assert "MB have to be free" in job.message
            for _ in range(2):  # it is asked for again, and what is said of it stays
                await one._ledger.change(job.job_id)  # pyright: ignore[reportPrivateUsage]
                assert (job.state, job.reason) == ("running", "disk_full")
        small = (await one.dispatch("x", host="ada", wait_seconds=SECONDS)).model_dump()
        assert (small["state"], small["answer"]) == ("succeeded", "done: x")
        small_disk.relieve()
        result = (await one.result(large.job_id, wait_seconds=SECONDS)).model_dump()
        assert (result["state"], result["reason"], result["message"]) == ("succeeded", None, None)
        assert (small_disk.folder / "state/outputs" / large.job_id / "answer").stat().st_size >= 6 << 20


async def test_while_the_ledger_can_t_be_written_nothing_is_sent_and_nothing_is_given_up(
    small_fleet: EmbeddedFleet, small_disk: Disk
) -> None:
    async with controller(small_fleet, small_disk.folder / "state") as one:
        await one.dispatch_many(_tasks(1))
        small_disk.fill()
        with pytest.raises(LedgerError, match="full"):
            while True:
                began = one.dispatch_many([Assignment(task="later")] * 4, wait_seconds=5, progress=_nobody)
                await _finish(one, await began)
        done = sum(tasks_done(host.home).count("later") for host in small_fleet.hosts.values())
        small_disk.relieve()
        await until(lambda: _is_nothing_left(one))
        total = (await one.jobs(state="succeeded")).total
        again = sum(tasks_done(host.home).count("later") for host in small_fleet.hosts.values())
    assert total == again + 1
    assert again >= done


async def _nobody(_seconds: float, _message: str) -> None:
    pass


async def _is_nothing_left(fleet: Fleet) -> bool:
    with suppress(LedgerError):
        return not (await fleet.jobs(state="queued")).total and not (await fleet.jobs(state="running")).total
    return False


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Disk]:
    with Disk(tmp_path / "disk", "16m") as disk:
        if not disk.is_mounted:
            pytest.skip("a small disk can't be mounted here")
        yield disk


@pytest.mark.timeout(300)
async def test_ten_thousand_tasks_in_one_call_need_nobody_s_patience(tmp_path: Path) -> None:
    async with EmbeddedFleet(tmp_path / "fleet") as fleet:
        for name in ("ada", "bob"):
            await fleet.add(name, picoclaw=SMALL_PICOCLAW, slots=8)
        fleet.write_config()
        async with controller(fleet) as one:
            began = time.monotonic()
            batch = await one.dispatch_many(_tasks(10_000), wait_seconds=1)
            assert time.monotonic() - began < SECONDS
            assert batch.counts.total == 10_000
            assert len(batch.jobs) == 50
            await until(lambda: _has(fleet.hosts["ada"].home, 20))
            cancelled = await one.cancel(batch_id=batch.batch_id)
            assert cancelled.total and cancelled.total > 9_000
            batch = await _finish(one, batch)
        done = [task for host in fleet.hosts.values() for task in tasks_done(host.home)]
    assert batch.counts.succeeded + batch.counts.cancelled == 10_000
    assert len(done) == len(set(done))
    assert batch.counts.succeeded <= len(done)
