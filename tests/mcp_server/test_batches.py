"""Many tasks on many hosts."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import pytest
from tests import standin
from tests.embedded_fleet import EmbeddedFleet
from tests.mcp_server.caller import Caller

COUNTED = 'echo 1 >>"{log}"; sleep 0.1; echo -1 >>"{log}"'


async def test_a_broadcast_runs_each_task_on_each_named_host(fleet: EmbeddedFleet, call: Caller) -> None:
    batch = await call("dispatch_many", tasks=["a", "b"], hosts=["ada", "cyd"], mode="broadcast")
    done = sorted((job["host"], job.get("answer", "")) for job in batch.data["jobs"])
    assert [host for host, _ in done] == ["ada", "ada", "cyd", "cyd"]
    assert batch.data["counts"]["succeeded"] == 4


async def test_a_task_may_have_a_host_and_a_timeout_of_its_own(fleet: EmbeddedFleet, call: Caller) -> None:
    fleet.set_knobs(by_task=[{"contains": "endless", "partial": "so far", "slow": 600}])
    batch = await call(
        "dispatch_many",
        tasks=[{"task": "endless", "host": "cyd", "timeout_seconds": 1}, {"task": "b", "host": "bob"}, "c"],
        hosts=["ada"],
    )
    endless, *others = batch.data["jobs"]
    assert (endless["host"], endless["state"], endless["reason"]) == ("cyd", "timed_out", "timeout")
    assert "so far" in endless["output"]
    assert {(job["host"], job["answer"]) for job in others} == {("bob", "done: b"), ("ada", "done: c")}
    assert batch.data["counts"]["timed_out"] == 1
    assert batch.text.index("timed_out") < batch.text.index("done: b")


async def test_a_host_that_fails_never_stops_the_others(fleet: EmbeddedFleet, call: Caller) -> None:
    fleet.entries.append(fleet.entry("down", port=1))
    fleet.write_config()
    batch = await call("dispatch_many", tasks=["a"], hosts=["all"], mode="broadcast")
    down, *others = batch.data["jobs"]
    assert (down["host"], down["state"], down["reason"]) == ("down", "failed", "unreachable")
    assert [job["state"] for job in others] == ["succeeded"] * 3
    spread = await call("dispatch_many", tasks=[f"task {number}" for number in range(8)])
    assert spread.data["counts"]["succeeded"] == 8


@pytest.mark.parametrize(("max_parallel", "most"), [(0, 4), (3, 3), (1, 1)])
async def test_never_more_run_at_once_than_slots_and_max_parallel_allow(
    fleet: EmbeddedFleet, call: Caller, tmp_path: Path, max_parallel: int, most: int
) -> None:
    log = tmp_path / "running.log"
    fleet.set_knobs(exec=COUNTED.format(log=log))
    hosts = ["ada", "bob"]
    batch = await call("dispatch_many", tasks=["x"] * 12, hosts=hosts, max_parallel=max_parallel)
    running = list(accumulate(int(line) for line in log.read_text().split()))
    assert batch.data["counts"]["succeeded"] == 12
    assert (len(running), running[-1]) == (24, 0)
    assert max(running) <= most
    assert max(running) == most or most > 1


async def test_rerun_does_again_what_did_not_succeed_and_nothing_else(fleet: EmbeddedFleet, call: Caller) -> None:
    fleet.set_knobs(log="runs.log", by_task=[{"contains": "bad", "exit": 1, "log": "runs.log"}])
    first = await call("dispatch_many", tasks=["good", "bad", "too bad"], hosts=["ada"])
    assert (first.data["counts"]["succeeded"], first.data["counts"]["failed"]) == (1, 2)
    said = await call.refusal("dispatch_many", tasks=["x"], rerun=first.data["batch_id"])
    assert "leave tasks out" in said

    fleet.set_knobs(log="runs.log")
    second = await call("dispatch_many", rerun=first.data["batch_id"])
    assert second.data["batch_id"] != first.data["batch_id"]
    assert sorted(job["answer"] for job in second.data["jobs"]) == ["done: bad", "done: too bad"]
    assert len(standin.runs(fleet.hosts["ada"].home / "runs.log")) == 5
    assert "no job that ended without success" in await call.refusal("dispatch_many", rerun=second.data["batch_id"])


async def test_of_more_than_fifty_jobs_the_failed_ones_are_shown_first(fleet: EmbeddedFleet, call: Caller) -> None:
    fleet.set_knobs(by_task=[{"contains": "bad", "exit": 1}])
    tasks = [f"task {number}" for number in range(57)] + ["bad 1", "bad 2", "bad 3"]
    batch = await call("dispatch_many", tasks=tasks)
    assert (batch.data["counts"]["total"], batch.data["counts"]["failed"]) == (60, 3)
    assert [job["state"] for job in batch.data["jobs"]] == ["failed"] * 3 + ["succeeded"] * 47
    assert "Here are jobs 1 to 50." in batch.data["summary"]
    assert batch.data["next_step"] in batch.text

    batch_id = batch.data["batch_id"]
    rest = await call("job_result", batch_id=batch_id, offset=batch.data["next_offset"])
    assert f'batch_id="{batch_id}" and offset={batch.data["next_offset"]}' in batch.data["next_step"]
    assert len({job["job_id"] for job in batch.data["jobs"] + rest.data["jobs"]}) == 60
    assert "Here are jobs 51 to 60." in rest.data["summary"]
    assert rest.data.keys().isdisjoint({"next_offset", "next_step"})
    beyond = await call("job_result", batch_id=batch_id, offset=10**30)
    assert beyond.data["jobs"] == []
    assert "There are none after the first 60." in beyond.text
