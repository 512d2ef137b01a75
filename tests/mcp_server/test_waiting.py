"""How long a call takes, what it tells meanwhile, and that a job never depends on who waits for it."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from tests.embedded_fleet import EmbeddedFleet
from tests.jobs.scenario import until
from tests.mcp_server.caller import Caller, stdio

from picoclaw_fleet import progress as progress_module

LONG_AGO = 20
"""Seconds that are far more than any of these calls may take, and far less than its tasks would."""


async def test_without_waiting_a_call_returns_while_its_jobs_are_held_up(fleet: EmbeddedFleet, call: Caller) -> None:
    gate = fleet.gate("ada")
    fleet.set_knobs(exec=gate.command)
    with anyio.fail_after(LONG_AGO):
        one = await call("dispatch", task="x", host="ada", wait_seconds=0)
        many = await call("dispatch_many", tasks=["y", "z"], hosts=["ada"], wait_seconds=0)
    assert one.data["state"] in ("queued", "running")
    assert many.data["counts"]["queued"] + many.data["counts"]["running"] == 2

    gate.open(3)
    assert (await call("job_result", job_id=one.data["job_id"], wait_seconds=50)).data["state"] == "succeeded"
    assert (await call("job_result", batch_id=many.data["batch_id"], wait_seconds=50)).data["counts"]["succeeded"] == 2


async def test_waiting_ends_when_its_time_is_up(fleet: EmbeddedFleet, call: Caller) -> None:
    gate = fleet.gate("ada")
    fleet.set_knobs(exec=gate.command)
    with anyio.fail_after(LONG_AGO):
        one = await call("dispatch", task="x", host="ada", wait_seconds=1)
        many = await call("dispatch_many", tasks=["y"], hosts=["ada"], wait_seconds=1)
        # A busy machine may need more than the second until a job is under way.
        assert one.data["state"] in ("queued", "running")
        assert many.data["counts"]["queued"] + many.data["counts"]["running"] == 1
        for _ in range(2):
            await gate.arrival()

        async def both_run() -> bool:
            single = await call("job_result", job_id=one.data["job_id"], wait_seconds=1)
            batch = await call("job_result", batch_id=many.data["batch_id"], wait_seconds=1)
            return (single.data["state"], batch.data["counts"]["running"]) == ("running", 1)

        await until(both_run)
    gate.open(2)


async def test_waiting_counts_the_time_it_takes_to_connect(fleet: EmbeddedFleet, call: Caller) -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as mute:
        port = mute.extra(anyio.abc.SocketAttribute.local_port)
        fleet.entries.append({**fleet.entry("mute", port), "connect_timeout": 60})
        fleet.write_config()
        with anyio.fail_after(LONG_AGO):
            queued = await call("dispatch", task="x", host="mute", wait_seconds=1)
    assert queued.data["state"] == "queued"
    assert queued.data["next_step"] in queued.text


async def test_a_deploy_to_whoever_is_not_ready_waits_no_longer_for_its_first_look(
    fleet: EmbeddedFleet, call: Caller
) -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as mute:
        port = mute.extra(anyio.abc.SocketAttribute.local_port)
        fleet.entries.append({**fleet.entry("mute", port), "connect_timeout": 60})
        fleet.write_config()
        with anyio.fail_after(LONG_AGO):
            for _ in range(2):  # the second one joins the first
                begun = await call("deploy", wait_seconds=1)
                assert ("mute", "in_progress") in [(host["name"], host["outcome"]) for host in begun.data["hosts"]]


async def test_a_call_that_takes_long_reports_progress(fleet: EmbeddedFleet, over_stdio: Caller) -> None:
    gate = fleet.gate("ada")
    fleet.set_knobs(by_task=[{"contains": "slow", "exec": gate.command}])
    said: list[str] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        said.append(message or "")
        gate.open()

    # It ends because it has reported; without a report the job would be stopped after 20 s.
    batch = await over_stdio(
        "dispatch_many", tasks=["quick", "slow"], hosts=["ada"], timeout_seconds=20, on_progress=note
    )
    assert batch.data["counts"]["succeeded"] == 2
    assert said == ["1 of 2 jobs done"]


async def test_progress_rises_and_tells_how_far_the_work_has_come(
    fleet: EmbeddedFleet, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_module, "PROGRESS_SECONDS", 0.2)
    gate = fleet.gate("ada")
    fleet.set_knobs(exec=gate.command)
    elapsed: list[float] = []
    said: list[str] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        elapsed.append(progress)
        if message and message not in said:
            said.append(message)
            gate.open()

    await call("dispatch_many", tasks=["a", "b"], hosts=["ada"], max_parallel=1, on_progress=note)
    assert elapsed == sorted(set(elapsed))
    assert said[:2] == ["0 of 2 jobs done", "1 of 2 jobs done"]


async def test_cancelling_a_call_stops_the_waiting_and_never_the_job(fleet: EmbeddedFleet, over_stdio: Caller) -> None:
    gate = fleet.gate("ada")
    fleet.set_knobs(exec=gate.command, reply="at last")
    job_id = (await over_stdio("dispatch", task="known", host="ada", wait_seconds=0)).data["job_id"]
    await gate.arrival()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: over_stdio("job_result", job_id=job_id, wait_seconds=50))
        tasks.start_soon(lambda: over_stdio("dispatch", task="unknown", host="ada"))
        await gate.arrival()
        tasks.cancel_scope.cancel()

    assert (await over_stdio("job_result", job_id=job_id)).data["state"] == "running"
    gate.open(2)
    assert (await over_stdio("job_result", job_id=job_id, wait_seconds=50)).data["answer"] == "at last"
    # Nobody knows the id of the other job, but it goes on at its host.
    with anyio.fail_after(LONG_AGO):
        await gate.departure()
        await gate.departure()


async def test_a_job_outlives_its_server_and_the_next_one_knows_it(fleet: EmbeddedFleet, tmp_path: Path) -> None:
    gate = fleet.gate("ada")
    fleet.set_knobs(exec=gate.command)
    async with stdio(fleet.environment, "auto", tmp_path / "stderr") as client:
        job_id = (await Caller(client)("dispatch", task="x", host="ada", wait_seconds=0)).data["job_id"]
        await gate.arrival()
    gate.open()
    with anyio.fail_after(LONG_AGO):
        await gate.departure()
    async with stdio(fleet.environment, "auto", tmp_path / "stderr") as client:
        job = await Caller(client)("job_result", job_id=job_id, wait_seconds=50)
    assert (job.data["state"], job.data["answer"]) == ("succeeded", "done: x")
