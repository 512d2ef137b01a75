"""jobs, logs and cancel."""

from __future__ import annotations

import platform
import re
import shlex

import anyio
from tests.cli.terminal import Shell
from tests.embedded_fleet import EmbeddedFleet, Gate
from tests.jobs.scenario import die
from tests.quick_start import quick_command

from picoclaw_fleet.jobs.ledger import Ledger
from picoclaw_fleet.jobs.model import Job
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
    assert re.search(r"failed +exit_code +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +[\d.]+ s +bad$", listed.out, re.MULTILINE)


async def test_the_command_for_older_jobs_lists_the_same_kind_of_jobs(fleet: EmbeddedFleet, shell: Shell) -> None:
    fleet.set_knobs(by_task=[{"contains": "bad", "exit": 3}])
    for task in ("bad 1", "good", "bad 2"):
        await shell("dispatch", task, "--host", "ada")
    newest = await shell("jobs", "--state", "failed", "--host", "ada", "--limit", "1")
    (advice,) = re.findall(r"^Older ones: picoclaw-fleet (.*)$", newest.err, re.MULTILINE)
    older = await shell(*shlex.split(advice))
    assert (newest.out.count("bad 2"), older.out.count("bad 1"), older.out.count("ada")) == (1, 1, 1)
    assert "Older ones" not in older.err


async def test_what_is_not_over_is_listed_as_last_heard_of(shell: Shell, gate: Gate) -> None:
    await shell("dispatch", "--detach", "--host", "ada", "x")
    assert "as last heard of; no host was asked. picoclaw-fleet logs ID asks" in (await shell("jobs")).err
    (notice,) = (await shell("jobs", "--json")).data["notices"]
    assert "as last heard of" in notice
    gate.open()


async def test_what_is_over_is_listed_without_such_words(shell: Shell) -> None:
    await shell("dispatch", "x")
    assert "last heard of" not in (await shell("jobs")).err


async def test_logs_print_a_job_or_all_of_a_batch(shell: Shell) -> None:
    batch = await shell("map", "a", "b", "--json")
    (started,) = batch.of_type("started")
    whole = await shell("logs", started["batch_id"])
    assert sorted(re.findall("done: .", whole.out)) == ["done: a", "done: b"]
    job = batch.of_type("job")[0]
    assert (await shell("logs", job["job_id"], "--json")).of_type("job") == [job]


async def test_logs_ask_the_host_for_the_end_of_detached_work(shell: Shell, gate: Gate) -> None:
    left = await shell("dispatch", "--detach", "--host", "ada", "x", "--json")
    await gate.arrival()
    gate.open()
    await gate.departure()
    done = await shell("logs", left.of_type("started")[0]["job_id"])
    assert (done.code, done.out) == (0, "done: x\n")
    assert [job["state"] for job in (await shell("jobs", "--json")).data["jobs"]] == ["succeeded"]


async def test_logs_set_going_what_was_queued_when_its_command_was_killed(fleet: EmbeddedFleet, shell: Shell) -> None:
    job_id = await _queued_by_the_dead(fleet)
    assert (await shell("logs", job_id)).out == "done: left behind\n"


async def test_what_stays_queued_is_not_said_to_run_but_what_sets_it_going(
    fleet: EmbeddedFleet, shell: Shell, gate: Gate
) -> None:
    await shell("map", "--detach", "--hosts", "ada", "a", "b")
    job_id = await _queued_by_the_dead(fleet)
    done = await shell("logs", job_id)
    assert "queued" in done.err
    assert "Left running" not in done.err
    assert "starts only while a command or server is at work on it" in done.err
    assert f"picoclaw-fleet logs --follow {job_id}" in done.err
    gate.open(2)


async def test_what_has_ended_and_waits_for_room_here_is_not_said_to_run(
    fleet: EmbeddedFleet, shell: Shell, gate: Gate
) -> None:
    left = await shell("dispatch", "--detach", "--host", "ada", "x", "--json")
    job_id = left.of_type("started")[0]["job_id"]
    await gate.arrival()
    (fleet.state / "outputs").write_text("in the way")
    gate.open()
    await gate.departure()
    waiting = await shell("logs", job_id)
    assert waiting.out == ""
    assert "Left running" not in waiting.err
    assert "Stop it" not in waiting.err
    assert "waits on its host until there is room" in waiting.err
    assert f"picoclaw-fleet logs --follow {job_id}" in waiting.err
    (fleet.state / "outputs").unlink()
    assert (await shell("logs", "--follow", job_id)).out == "done: x\n"


async def test_what_has_ended_and_could_not_be_printed_is_not_said_to_be_stoppable(fleet: EmbeddedFleet) -> None:
    command = ["sh", "-c", '"$0" dispatch --host ada x >/dev/full', quick_command()]
    done = await anyio.run_process(command, input=b"", check=False, env=fleet.environment)
    assert done.returncode == 1
    assert "picoclaw-fleet logs --follow j_" in done.stderr.decode()
    assert "Stop it" not in done.stderr.decode()


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


async def _queued_by_the_dead(fleet: EmbeddedFleet) -> str:
    """Kills a command while its job for ada is queued, and returns the job's id."""
    ledger = Ledger(fleet.state / f"ledger-{platform.node()}.sqlite")
    await ledger.open()
    job = Job("left behind", ("ada",), 60)
    await ledger.add([job])
    await die(ledger)
    return job.job_id
