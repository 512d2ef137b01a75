"""dispatch and map: what is printed where, and how they end."""

from __future__ import annotations

import re

import pytest
from tests.cli.terminal import Shell
from tests.embedded_fleet import EmbeddedFleet, Gate

from picoclaw_fleet.results import Counts, JobResult

LONG = 50_000
"""Bytes of an answer: more than two pages."""


async def test_dispatch_prints_the_answer_on_stdout_and_the_rest_on_stderr(shell: Shell) -> None:
    done = await shell("dispatch", "hello", "--host", "bob")
    assert (done.code, done.out) == (0, "done: hello\n")
    assert re.search(r"^bob j_\w{12} succeeded in [\d.]+ s$", done.err, re.MULTILINE)


async def test_a_task_may_come_from_stdin(shell: Shell) -> None:
    done = await shell("dispatch", "-", stdin="zwei\nZeilen: ä".encode())
    assert done.out == "done: zwei\nZeilen: ä\n"


async def test_quiet_shows_no_progress(shell: Shell) -> None:
    done = await shell("dispatch", "hello", "--quiet")
    assert re.fullmatch(r"j_\w+ succeeded on \w+ in [\d.]+ s\.\n", done.err)


async def test_a_long_answer_is_printed_to_its_end(fleet: EmbeddedFleet, shell: Shell) -> None:
    text = "".join(f"{number:09}," for number in range(LONG // 10))
    fleet.set_knobs(reply=text)
    done = await shell("dispatch", "x", "--quiet")
    assert done.out.replace("\n", "") == text
    assert "job_result" not in done.err


async def test_what_a_failed_job_printed_is_data_and_why_it_failed_is_not(fleet: EmbeddedFleet, shell: Shell) -> None:
    fleet.set_knobs(stdout_bytes="", stderr_bytes="cannot do that\n", exit=7)
    done = await shell("dispatch", "x", "--host", "ada")
    assert done.code == 3
    assert "cannot do that" in done.out
    assert "status 7" in done.err
    assert "status 7" not in done.out


async def test_json_lines_begin_with_the_version_and_end_with_the_result(fleet: EmbeddedFleet, shell: Shell) -> None:
    fleet.set_knobs(by_task=[{"contains": "b", "exit": 3}])
    done = await shell("map", "--json", "a", "b", "c")
    assert done.code == 3
    assert done.lines[0] == {"type": "version", "ui": "1.0"}
    kinds = [line["type"] for line in done.lines]
    assert kinds[1] == "started"
    assert kinds[-1] == "result"
    jobs = done.of_type("job")
    states = sorted(JobResult.model_validate(job).state for job in jobs)
    assert states == ["failed", "succeeded", "succeeded"]
    (result,) = done.of_type("result")
    assert Counts.model_validate(result["counts"]) == Counts(total=3, succeeded=2, failed=1)
    assert result["batch_id"] == done.of_type("started")[0]["batch_id"]


async def test_map_prints_each_answer_under_its_host_and_job(shell: Shell) -> None:
    done = await shell("map", "a", "b")
    titles = re.findall(r"^--- (ada|bob) (j_\w+) succeeded in [\d.]+ s\ndone: ([ab])$", done.out, re.MULTILINE)
    assert sorted(answer for _, _, answer in titles) == ["a", "b"]
    assert len({job_id for _, job_id, _ in titles}) == 2


async def test_tasks_come_from_arguments_files_and_stdin_and_each_is_done_once(
    fleet: EmbeddedFleet, shell: Shell
) -> None:
    file = fleet.home / "tasks.txt"
    file.write_text('from a file\n\n{"task": "{two}\\nlines", "host": "bob", "timeout_seconds": 9}\r\n')
    done = await shell("map", "argument", "-f", str(file), "-f", "-", "--json", stdin=b"from stdin\n")
    assert done.code == 0
    answers = {job["answer"]: job["host"] for job in done.of_type("job")}
    assert set(answers) == {"done: argument", "done: from a file", "done: {two}\nlines", "done: from stdin"}
    assert answers["done: {two}\nlines"] == "bob"


async def test_the_task_of_a_dash_stands_for_those_on_stdin(shell: Shell) -> None:
    done = await shell("map", "argument", "-", "--json", stdin=b'one\n{"task": "two"}\n')
    assert {job["answer"] for job in done.of_type("job")} == {"done: argument", "done: one", "done: two"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"task": ', "tasks:2: a line that begins with { has to be a JSON object"),
        (b'{"tsk": "x"}', "tasks:2: task: Field required"),
        (b"\xff", "tasks:2: this is not UTF-8"),
    ],
)
async def test_a_bad_line_names_its_file_and_line_and_nothing_is_started(
    fleet: EmbeddedFleet, shell: Shell, line: bytes, said: str
) -> None:
    file = fleet.home / "tasks"
    file.write_bytes(b"fine\n" + line + b"\n")
    done = await shell("map", "-f", "tasks")
    assert done.code == 2
    assert said in done.err
    assert (await shell("jobs", "--json")).data["total"] == 0


async def test_a_broadcast_runs_on_each_host(shell: Shell) -> None:
    done = await shell("map", "--mode", "broadcast", "--hosts", "all", "x", "--json")
    assert {job["host"] for job in done.of_type("job")} == {"ada", "bob"}


async def test_rerun_does_again_what_did_not_succeed(fleet: EmbeddedFleet, shell: Shell) -> None:
    fleet.set_knobs(by_task=[{"contains": "b", "exit": 3}])
    first = await shell("map", "a", "b")
    assert first.code == 3
    found = re.search(r"picoclaw-fleet (map --rerun b_\w+)", first.err)
    assert found
    fleet.set_knobs()
    again = await shell(*found[1].split(), "--json")
    assert again.code == 0
    assert [job["answer"] for job in again.of_type("job")] == ["done: b"]


async def test_detached_work_is_found_again(shell: Shell, gate: Gate) -> None:
    left = await shell("dispatch", "--detach", "--host", "ada", "x")
    assert (left.code, left.out) == (0, "")
    found = re.search(r"picoclaw-fleet (logs --follow j_\w+)", left.err)
    assert found
    await gate.arrival()
    listed = await shell("jobs", "--state", "running", "--json")
    assert [job["job_id"] for job in listed.data["jobs"]] == [found[1].split()[-1]]
    gate.open()
    back = await shell(*found[1].split())
    assert (back.code, back.out) == (0, "done: x\n")
