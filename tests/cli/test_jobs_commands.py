"""jobs, logs and cancel."""

from __future__ import annotations

import re

from tests.cli.terminal import Shell
from tests.embedded_fleet import EmbeddedFleet, Gate

from picoclaw_fleet.results import JobsResult


async def test_jobs_are_listed_newest_first_and_narrowed(fleet: EmbeddedFleet, shell: Shell) -> None:
    fleet.set_knobs(by_task=[{"contains": "bad", "exit": 3}])
    await shell("dispatch", "good", "--host", "ada")
    await shell("dispatch", "bad", "--host", "bob")
    listed = await shell("jobs")
    assert listed.code == 0
    assert re.findall(r"^j_\w+ +- +(\w+) +(\w+)", listed.out, re.MULTILINE) == [
        ("bob", "failed"),
        ("ada", "succeeded"),
    ]
    failed = JobsResult.model_validate((await shell("jobs", "--state", "failed", "--json")).data)
    assert [(job.host, job.reason) for job in failed.jobs] == [("bob", "exit_code")]
    assert "Older ones: picoclaw-fleet jobs --offset 1" in (await shell("jobs", "--limit", "1")).err


async def test_logs_print_a_job_or_all_of_a_batch(shell: Shell) -> None:
    batch = await shell("map", "a", "b", "--json")
    (started,) = batch.of_type("started")
    whole = await shell("logs", started["batch_id"])
    assert sorted(re.findall("done: .", whole.out)) == ["done: a", "done: b"]
    job = batch.of_type("job")[0]
    assert (await shell("logs", job["job_id"], "--json")).of_type("job") == [job]


async def test_cancel_stops_and_says_so(shell: Shell, gate: Gate) -> None:
    left = await shell("dispatch", "--detach", "--host", "ada", "x", "--json")
    (started,) = left.of_type("started")
    await gate.arrival()
    stopped = await shell("cancel", started["job_id"])
    assert stopped.code == 0
    assert "cancelled" in stopped.out
    again = await shell("cancel", started["job_id"], "--json")
    assert (again.code, again.of_type("result")[0]["jobs"]) == (0, [])


async def test_an_unknown_id_is_wrong_usage(shell: Shell) -> None:
    for command in ("logs", "cancel"):
        done = await shell(command, "j_000000000000")
        assert done.code == 2
        assert "j_000000000000" in done.err
