"""What may be asked of the fleet, and how it becomes jobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.servers import NOBODY

from picoclaw_fleet.assignment import Assignment
from picoclaw_fleet.config.inventory import Inventory
from picoclaw_fleet.errors import Reason, UsageError
from picoclaw_fleet.jobs.intake import LONGEST_TIMEOUT_SECONDS, Mode, new_job, new_jobs
from picoclaw_fleet.jobs.model import Job
from picoclaw_fleet.worker.contract import MAX_TASK_BYTES

TAGS = {"ada": ("a",), "bob": (), "cyd": ("a",)}
INVENTORY = Inventory([replace(NOBODY, name=name, tags=tags) for name, tags in TAGS.items()])


def _jobs(tasks: Sequence[Assignment], hosts: Sequence[str] = (), mode: Mode = "spread") -> list[Job]:
    return new_jobs(INVENTORY, tasks, hosts, mode, 60, "b_1")


def test_a_single_job_may_go_where_its_selector_points() -> None:
    assert new_job(INVENTORY, "x", "", 60).hosts == ("ada", "bob", "cyd")
    assert new_job(INVENTORY, "x", "tag:a", 60).hosts == ("ada", "cyd")
    with pytest.raises(UsageError, match="bob"):
        new_job(INVENTORY, "x", "bop", 60)


def test_in_a_spread_each_task_becomes_one_job() -> None:
    jobs = _jobs([Assignment(task="x"), Assignment(task="y", host="bob", timeout_seconds=5)], ["tag:a"])
    assert [(job.task, job.hosts, job.timeout_seconds) for job in jobs] == [
        ("x", ("ada", "cyd"), 60),
        ("y", ("bob",), 5),
    ]
    assert {job.batch_id for job in jobs} == {"b_1"}
    assert len({job.job_id for job in jobs}) == 2


def test_in_a_broadcast_each_task_becomes_one_job_for_each_host() -> None:
    jobs = _jobs([Assignment(task="x"), Assignment(task="y", host="tag:a")], ["all"], "broadcast")
    assert [(job.task, job.hosts) for job in jobs] == [
        *[("x", (name,)) for name in ("ada", "bob", "cyd")],
        *[("y", (name,)) for name in ("ada", "cyd")],
    ]


def test_a_broadcast_to_nobody_in_particular_is_refused() -> None:
    with pytest.raises(UsageError, match="hosts have to be named"):
        _jobs([Assignment(task="x")], mode="broadcast")


def test_one_bad_task_among_many_means_that_nothing_is_done() -> None:
    with pytest.raises(UsageError, match="Task 2 is blank") as refusal:
        _jobs([Assignment(task="x"), Assignment(task=" \n"), Assignment(task="z")])
    assert refusal.value.reason is Reason.BAD_TASK
    with pytest.raises(UsageError, match="no tasks"):
        _jobs([])


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("", Reason.BAD_TASK),
        ("a\0b", Reason.BAD_TASK),
        ("\ud800", Reason.BAD_TASK),
        ("x" * (MAX_TASK_BYTES + 1), Reason.TOO_LARGE),
        ("é" * (MAX_TASK_BYTES // 2 + 1), Reason.TOO_LARGE),
    ],
)
def test_a_task_that_would_not_arrive_as_it_is_is_refused(task: str, reason: Reason) -> None:
    with pytest.raises(UsageError) as refusal:
        new_job(INVENTORY, task, "", 60)
    assert refusal.value.reason is reason


def test_the_longest_task_is_taken() -> None:
    assert len(new_job(INVENTORY, "é" * (MAX_TASK_BYTES // 2), "", 60).task.encode()) == MAX_TASK_BYTES


def test_tasks_that_each_pick_hosts_in_another_way_are_refused_beyond_a_hundred_ways() -> None:
    ways = [Assignment(task="x", host=f"a{'?' * number}*") for number in range(101)]
    with pytest.raises(UsageError, match="101 selectors are no names"):
        _jobs(ways)
    assert len(_jobs([Assignment(task="x", host=name) for name in TAGS] * 100)) == 300


@pytest.mark.parametrize("seconds", [0, -1, LONGEST_TIMEOUT_SECONDS + 1])
def test_a_timeout_out_of_range_is_refused(seconds: int) -> None:
    with pytest.raises(UsageError, match="timeout_seconds"):
        new_job(INVENTORY, "x", "", seconds)
