"""Each tool through the installed command, in both eras."""

from __future__ import annotations

import json
from pathlib import Path

from tests import standin
from tests.embedded_fleet import EmbeddedFleet
from tests.mcp_server.caller import Caller, stdio


async def test_fleet_status_has_a_row_for_each_host(fleet: EmbeddedFleet, over_stdio: Caller) -> None:
    await fleet.add("bare", picoclaw=b"")
    fleet.entries.append(fleet.entry("down", port=1))
    fleet.write_config()
    status = await over_stdio("fleet_status")

    rows = {host["name"]: host for host in status.data["hosts"]}
    assert list(rows) == ["ada", "bob", "cyd", "bare", "down"]
    assert status.data["summary"] == "3 of 5 hosts are ready, 1 out of reach."
    assert (rows["ada"]["picoclaw"], rows["ada"]["version"], rows["ada"]["free_slots"]) == ("ready", "0.2.9", 2)
    assert {"arch", "load", "memory_free_mb", "disk_free_mb", "round_trip_ms"} <= set(rows["ada"])
    assert rows["ada"]["running"] == 0
    assert (rows["bare"]["picoclaw"], rows["bare"]["reason"]) == ("missing", "not_installed")
    assert (rows["down"]["reachable"], rows["down"]["picoclaw"]) == (False, "unknown")
    assert rows["down"]["reason"] == "unreachable"
    table = status.text.split("\n\n")[1].splitlines()
    assert [line.split()[0] for line in table] == ["host", *rows]
    assert rows["bare"]["next_step"] in status.text
    assert rows["down"]["next_step"] in status.text


async def test_fleet_status_of_some_hosts_looks_at_no_others(over_stdio: Caller) -> None:
    status = await over_stdio("fleet_status", hosts=["cyd", "ada"])
    assert [host["name"] for host in status.data["hosts"]] == ["ada", "cyd"]


async def test_dispatch_brings_the_answer_home(over_stdio: Caller) -> None:
    done = await over_stdio("dispatch", task="say hello")
    job = done.data
    assert (job["state"], job["answer"], job["exit_code"]) == ("succeeded", "done: say hello", 0)
    assert job["host"] in ("ada", "bob", "cyd")
    assert "next_step" not in job
    assert job["started_at"].endswith("Z")
    assert job["started_at"] <= job["finished_at"]
    for part in (job["job_id"], job["host"], "succeeded", "done: say hello", "not instructions"):
        assert part in done.text


async def test_a_job_that_fails_is_a_result_with_reason_exit_code_and_output(
    fleet: EmbeddedFleet, over_stdio: Caller
) -> None:
    fleet.set_knobs(exit=3, stdout_bytes=b"half of it\n", stderr_bytes=b"it broke\n")
    done = await over_stdio("dispatch", task="fail")
    job = done.data
    assert (job["state"], job["reason"], job["exit_code"]) == ("failed", "exit_code", 3)
    assert "half of it" in job["output"]
    assert "it broke" in job["output"]
    assert "answer" not in job
    assert job["next_step"] in done.text
    for part in ("failed", "exit_code", "status 3", "half of it", "it broke"):
        assert part in done.text


async def test_dispatch_many_gives_each_task_back_once(over_stdio: Caller) -> None:
    tasks = [f"task {number}" for number in range(8)]
    done = await over_stdio("dispatch_many", tasks=[{"task": task} for task in tasks])
    batch = done.data
    assert sorted(job["answer"] for job in batch["jobs"]) == [f"done: {task}" for task in tasks]
    assert (batch["counts"]["total"], batch["counts"]["succeeded"]) == (8, 8)
    assert len({job["job_id"] for job in batch["jobs"]}) == 8
    assert {job["batch_id"] for job in batch["jobs"]} == {batch["batch_id"]}
    assert all(done.text.count(f"\ndone: {task}\n") == 1 for task in tasks)
    assert batch["batch_id"] in done.text


async def test_job_result_tells_the_same_of_a_job_and_of_a_batch_again(over_stdio: Caller) -> None:
    one = await over_stdio("dispatch", task="one")
    many = await over_stdio("dispatch_many", tasks=["a", "b"])
    assert (await over_stdio("job_result", job_id=one.data["job_id"])).data == one.data
    assert (await over_stdio("job_result", batch_id=many.data["batch_id"])).data == many.data
    assert (await over_stdio("job_result", job_id=many.data["jobs"][0]["job_id"])).data["answer"] == "done: a"


async def test_what_is_not_done_names_the_next_call_in_text_and_structure(
    fleet: EmbeddedFleet, over_stdio: Caller
) -> None:
    gate = fleet.gate("ada")
    fleet.set_knobs(exec=gate.command)
    one = await over_stdio("dispatch", task="x", host="ada", wait_seconds=0)
    many = await over_stdio("dispatch_many", tasks=["y"], hosts=["ada"], wait_seconds=0)
    for _ in range(2):
        await gate.arrival()

    assert one.data["next_step"] == f'Call job_result with job_id="{one.data["job_id"]}" and wait_seconds=45.'
    assert f'Call job_result with batch_id="{many.data["batch_id"]}" and wait_seconds=45.' in many.data["next_step"]
    assert [job.keys() & {"next_step"} for job in many.data["jobs"]] == [set()], "it is the same for all of them"
    for reply in (one, many):
        assert reply.data["next_step"] in reply.text
    running = await over_stdio("job_result", job_id=one.data["job_id"])
    assert (running.data["state"], running.data["host"]) == ("running", "ada")
    assert running.data["next_step"] == one.data["next_step"]

    gate.open(2)
    done = await over_stdio("job_result", batch_id=many.data["batch_id"], wait_seconds=50)
    assert done.data["counts"]["succeeded"] == 1
    assert "next_step" not in done.data


async def test_jobs_lists_what_was_dispatched_newest_first(fleet: EmbeddedFleet, over_stdio: Caller) -> None:
    fleet.set_knobs(by_task=[{"contains": "bad", "exit": 1}])
    one = await over_stdio("dispatch", task="one", host="ada")
    many = await over_stdio("dispatch_many", tasks=["good", "bad"], hosts=["bob"])
    in_batch = {job["job_id"] for job in many.data["jobs"]}

    every = await over_stdio("jobs")
    assert {job["job_id"] for job in every.data["jobs"][:2]} == in_batch
    assert every.data["jobs"][2]["job_id"] == one.data["job_id"]
    assert every.data["total"] == 3
    assert all(job["job_id"] in every.text for job in every.data["jobs"])
    assert [job["host"] for job in (await over_stdio("jobs", host="ada")).data["jobs"]] == ["ada"]
    assert len((await over_stdio("jobs", batch_id=many.data["batch_id"])).data["jobs"]) == 2
    (failed,) = (await over_stdio("jobs", state="failed")).data["jobs"]
    assert failed["job_id"] in in_batch
    page = await over_stdio("jobs", host="bob", limit=1)
    assert (len(page.data["jobs"]), page.data["next_offset"]) == (1, 1)
    assert "make the same call with offset=1" in page.text, "with the offset alone it would list other hosts too"
    beyond = await over_stdio("jobs", host="bob", offset=10**30)
    assert (beyond.data["jobs"], beyond.data["total"]) == ([], 2)
    assert beyond.text == "There are none after the first 2."
    assert (await over_stdio("jobs", state="lost")).text == "There are no such jobs."


async def test_jobs_can_be_told_apart_by_task_and_time(over_stdio: Caller) -> None:
    await over_stdio("dispatch", task='Say "one",\nand nothing else.')
    await over_stdio("dispatch", task="Say this, and do go on with it: " + "word " * 20_000)
    listed = await over_stdio("jobs")
    long, short = listed.data["jobs"]
    assert short["task"] == 'Say "one", and nothing else.'
    assert long["task"] == "Say this, and do go on with it: word word word word word..."
    assert f"succeeded, asked for at {short['created_at']}. Task: {json.dumps(short['task'])}." in listed.text
    assert len(listed.text) < 500


async def test_job_cancel_stops_what_runs_and_what_waits(fleet: EmbeddedFleet, over_stdio: Caller) -> None:
    gate = fleet.gate("ada")
    fleet.set_knobs(exec=gate.command)
    batch = await over_stdio("dispatch_many", tasks=["x"] * 4, hosts=["ada"], wait_seconds=0)
    for _ in range(2):
        await gate.arrival()

    stopped = await over_stdio("job_cancel", batch_id=batch.data["batch_id"])
    assert [job["state"] for job in stopped.data["jobs"]] == ["cancelled"] * 4
    assert stopped.text.count("4 cancelled") == 1
    assert "notices" not in stopped.data, "what has just been done is no news"
    ended = await over_stdio("job_result", job_id=stopped.data["jobs"][0]["job_id"])
    for reply in (stopped, ended, await over_stdio("job_result", batch_id=batch.data["batch_id"])):
        assert "(cancelled)" not in reply.text
    assert (await over_stdio("fleet_status", hosts=["ada"])).data["hosts"][0]["running"] == 0
    again = await over_stdio("job_cancel", batch_id=batch.data["batch_id"])
    assert (again.data["jobs"], again.data["summary"]) == ([], "Nothing was left to stop.")


async def test_two_servers_that_start_at_once_share_a_fleet(fleet: EmbeddedFleet, tmp_path: Path) -> None:
    """Neither waits for the other, and each has its own jobs, although both put the runner on the same new hosts."""
    logs = [tmp_path / "first", tmp_path / "second"]
    fleet.set_knobs(log="runs.log")
    async with (
        stdio(fleet.environment, "auto", logs[0]) as first,
        stdio(fleet.environment, "auto", logs[1]) as second,
    ):
        clients = [Caller(first), Caller(second)]
        begun = [
            await one("dispatch_many", tasks=["x", "y"], hosts=["all"], mode="broadcast", wait_seconds=0)
            for one in clients
        ]
        ended = [
            await one("job_result", batch_id=batch.data["batch_id"], wait_seconds=50)
            for one, batch in zip(clients, begun, strict=True)
        ]

    assert [batch.data["counts"]["succeeded"] for batch in ended] == [6, 6]
    assert [len(standin.runs(host.home / "runs.log")) for host in fleet.hosts.values()] == [4, 4, 4]
    assert [log.read_text() for log in logs] == ["", ""]
