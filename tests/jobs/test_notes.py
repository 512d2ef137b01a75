"""What a job's result says besides: what was changed of the task, and what its reader could not see otherwise."""

from __future__ import annotations

import pytest
from tests.embedded_fleet import EmbeddedFleet
from tests.jobs.scenario import controller

from picoclaw_fleet.assignment import Assignment
from picoclaw_fleet.results import BatchResult, JobResult

REFUSED = "I could not read it: access denied: path is outside the workspace"


async def test_a_refusal_of_what_lies_outside_the_workspace_names_the_key_that_allows_it(fleet: EmbeddedFleet) -> None:
    fleet.set_knobs(reply=REFUSED)
    async with controller(fleet) as one:
        (note,) = (await one.dispatch("Read /var/log/syslog.")).notices
    assert "restrict_to_workspace" in note


async def test_where_the_key_is_set_no_note_advises_it(fleet: EmbeddedFleet) -> None:
    fleet.defaults["restrict_to_workspace"] = False
    fleet.write_config()
    fleet.set_knobs(reply=REFUSED)
    async with controller(fleet) as one:
        assert (await one.dispatch("Read /var/log/syslog.")).notices == []


@pytest.mark.parametrize("task", ["/help", "!ls"])
async def test_a_task_that_would_be_a_command_is_sent_as_a_message_and_that_is_said(
    fleet: EmbeddedFleet, task: str
) -> None:
    fleet.set_knobs(reply="{task}")
    async with controller(fleet) as one:
        job = await one.dispatch(task)
    assert job.answer == f"Task: {task}"
    (note,) = job.notices
    assert f"'Task: {task[:1]}'" in note


async def test_what_no_answer_can_be_told_apart_in_is_the_answer_whole_and_that_is_said(fleet: EmbeddedFleet) -> None:
    fleet.set_knobs(stdout_bytes="no lobster in here")
    async with controller(fleet) as one:
        job = await one.dispatch("x")
    assert job.answer == "no lobster in here"
    (note,) = job.notices
    assert "could not be told apart" in note


async def test_in_a_batch_a_note_tells_of_which_jobs_it_is_true_unless_that_is_all(fleet: EmbeddedFleet) -> None:
    fleet.set_knobs(by_task=[{"contains": "odd", "stdout_bytes": "no lobster in here"}])
    tasks = [Assignment(task=task) for task in ("even", "odd", "odd")]
    async with controller(fleet) as one:
        batch = await one.dispatch_many(tasks)
        (of_all,) = (await one.dispatch_many(tasks[1:])).notices
    odd = [job.job_id for job in batch.jobs if job.task == "odd"]
    assert batch.notices == [f"{odd[0]}, {odd[1]}: {of_all}"]
    assert of_all.startswith("PicoClaw's answer")


async def test_how_a_job_ended_is_told_although_its_output_can_not_be_read(fleet: EmbeddedFleet) -> None:
    tasks = [Assignment(task=task) for task in ("a", "b")]
    async with controller(fleet) as one:
        batch = await one.dispatch_many(tasks)
        first, second = batch.jobs
        (answer,) = fleet.state.rglob(f"{first.job_id}/answer")
        answer.unlink()
        answer.mkdir()
        again = await one.result(batch_id=batch.batch_id)
        alone = await one.result(first.job_id)
    assert isinstance(again, BatchResult) and isinstance(alone, JobResult)
    assert [job.answer for job in (second, *again.jobs)] == ["done: b", None, "done: b"]
    assert again.notices == alone.notices == [f"What {first.job_id} printed can't be read here: Is a directory."]
    assert alone.state == "succeeded"
