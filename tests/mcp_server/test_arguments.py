"""What callers may write, and what they are told when it is wrong."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest
from tests import standin
from tests.embedded_fleet import EmbeddedFleet
from tests.mcp_server.caller import Caller


@pytest.mark.parametrize("hosts", [["bob"], "bob", '["bob"]'])
async def test_one_selector_may_stand_for_a_list(call: Caller, hosts: object) -> None:
    assert [host["name"] for host in (await call("fleet_status", hosts=hosts)).data["hosts"]] == ["bob"]


@pytest.mark.parametrize(
    "tasks", [[{"task": "a b"}], ["a b"], "a b", {"task": "a b"}, '["a b"]', '[{"task": "a b", "host": "all"}]']
)
async def test_tasks_may_be_plain_strings_and_one_may_stand_for_a_list(call: Caller, tasks: object) -> None:
    assert [job["answer"] for job in (await call("dispatch_many", tasks=tasks)).data["jobs"]] == ["done: a b"]


async def test_null_stands_for_an_argument_that_is_left_out(call: Caller) -> None:
    one = await call("dispatch", task="a", host=None, timeout_seconds=None, deploy_missing=None)
    many = await call("dispatch_many", tasks=[{"task": "b", "host": None, "timeout_seconds": None}], rerun=None)
    assert (one.data["answer"], many.data["jobs"][0]["answer"]) == ("done: a", "done: b")
    assert "task: Field required" in await call.refusal("dispatch", task=None)
    assert "unknown argument 'tsk'" in await call.refusal("dispatch", task="a", tsk=None)


@pytest.mark.parametrize("task", ["7", "null", "[1]", '{"a": 1}', ' -x\n"$(id)" 🦞 ', "-h"])
async def test_a_task_arrives_as_it_was_written(call: Caller, fleet: EmbeddedFleet, task: str) -> None:
    fleet.set_knobs(log="runs.log", reply="ok")
    assert (await call("dispatch", task=task, host="ada")).data["answer"] == "ok"
    (run,) = standin.runs(fleet.hosts["ada"].home / "runs.log")
    assert run.task_sha256 == _digest(task)


async def test_numbers_may_come_as_text(call: Caller) -> None:
    assert (await call("dispatch", task="x", timeout_seconds="30", wait_seconds="40")).data["state"] == "succeeded"


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("dispatch", {"tsk": "x"}, ["unknown argument 'tsk' (did you mean 'task'?). ", "task, host, timeout_seconds"]),
        ("dispatch", {"task": "x", "hosts": "ada"}, ["unknown argument 'hosts' (did you mean 'host'?)"]),
        ("fleet_status", {"host": ["ada"]}, ["unknown argument 'host' (did you mean 'hosts'?)"]),
        (
            "dispatch_many",
            {"tasks": [{"task": "x", "timeout": 5}]},
            ["'tasks.0.timeout' (did you mean 'timeout_seconds'?)"],
        ),
        ("dispatch", {}, ["task: Field required"]),
        ("dispatch", {"task": 7}, ["task: Input should be a valid string"]),
        ("dispatch", {"task": " \n"}, ["The task is blank."]),
        ("dispatch", {"task": "a\0b"}, ["NUL"]),
        ("dispatch", {"task": "x" * 120_001}, ["120,001 bytes", "120,000"]),
        ("dispatch", {"task": "x", "host": "boob"}, ["'boob' matches no host", "bob"]),
        ("dispatch", {"task": "x", "timeout_seconds": 0}, ["timeout_seconds: ", "greater than or equal to 1"]),
        ("dispatch", {"task": "x", "timeout_seconds": 86_401}, ["less than or equal to 86400"]),
        ("dispatch", {"task": "x", "wait_seconds": 51}, ["wait_seconds: ", "less than or equal to 50"]),
        ("dispatch", {"task": "x", "wait_seconds": -1}, ["wait_seconds: "]),
        ("dispatch_many", {}, ["There are no tasks."]),
        ("dispatch_many", {"tasks": ["ok", ""]}, ["Task 2 is blank."]),
        ("dispatch_many", {"tasks": [{"task": "x", "host": "nobody"}]}, ["'nobody' matches no host"]),
        ("dispatch_many", {"tasks": ["x"], "hosts": ["web*"]}, ["'web*' matches no host"]),
        ("dispatch_many", {"tasks": ["x"], "mode": "broadcast"}, ["hosts have to be named"]),
        ("dispatch_many", {"tasks": ["x"], "mode": "both"}, ["mode: ", "'spread' or 'broadcast'"]),
        ("dispatch_many", {"tasks": ["x"], "max_parallel": -1}, ["max_parallel: "]),
        ("dispatch_many", {"rerun": "b_0"}, ["There is no batch 'b_0'"]),
        ("job_result", {}, ["Give either job_id or batch_id."]),
        ("job_result", {"job_id": "j_1", "batch_id": "b_1"}, ["Give either job_id or batch_id."]),
        ("job_result", {"job_id": "j_nope"}, ["There is no job 'j_nope'", "`jobs` lists"]),
        ("job_result", {"job_id": "b_0123456789ab"}, ["There is no job 'b_0123456789ab'", "give it as batch_id."]),
        ("job_cancel", {"batch_id": "j_aaaaaaaaaaaa"}, ["There is no batch 'j_aaaaaaaaaaaa'", "give it as job_id."]),
        ("jobs", {"batch_id": "b_0"}, ["There is no batch 'b_0'"]),
        ("jobs", {"host": "boob"}, ["No host is called 'boob'", "bob"]),
        ("jobs", {"state": "done"}, ["There is no state 'done'", "succeeded"]),
        ("job_cancel", {}, ["Give either job_id or batch_id."]),
        ("job_cancel", {"batch_id": "b_0"}, ["There is no batch 'b_0'"]),
        ("job_result", {"job_id": "j_1", "offset": -1}, ["offset: "]),
        ("job_result", {"job_id": "j_1", "limit": 0}, ["limit: "]),
        ("job_result", {"job_id": "j_1", "limit": 20_001}, ["limit: "]),
    ],
)
async def test_a_wrong_call_is_refused_with_what_is_wrong_and_nothing_is_done(
    fleet: EmbeddedFleet, call: Caller, tool: str, arguments: dict[str, Any], said: list[str]
) -> None:
    fleet.set_knobs(log="runs.log")
    text = await call.refusal(tool, **arguments)
    for part in said:
        assert part in text
    assert "Error executing tool" not in text
    assert "pydantic" not in text
    assert not any((host.home / ".picoclaw/fleet").exists() for host in fleet.hosts.values())


async def test_the_values_of_wrong_arguments_are_not_repeated(call: Caller) -> None:
    text = await call.refusal("dispatch", task="x", timeout_seconds="hunter2-hunter2", api_key="hunter2-hunter2")
    assert "hunter2" not in text


async def test_a_task_of_120_000_bytes_is_taken(call: Caller, fleet: EmbeddedFleet) -> None:
    fleet.set_knobs(log="runs.log", reply="read")
    task = "é" * 60_000
    assert (await call("dispatch", task=task, host="ada")).data["answer"] == "read"
    assert standin.runs(fleet.hosts["ada"].home / "runs.log")[0].task_sha256 == _digest(task)


def _digest(task: str) -> str:
    return sha256(task.encode()).hexdigest()
