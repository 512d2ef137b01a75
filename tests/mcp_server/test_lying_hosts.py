"""Hosts in the hands of somebody else: whatever they say, the others go on, and nothing of it harms who reads it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import pytest
from tests.embedded_fleet import EmbeddedFleet
from tests.jobs.scenario import SMALL_PICOCLAW, until
from tests.lying_host import add_lying_host
from tests.mcp_server.caller import Caller

ESCAPES = "\x1b[2J\x1b]0;title\x07\u202e\x9b"
FORGED = "2026-01-01 00:00:00,000 ERROR root: the disk is on fire"
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")

OF_THE_PROBE = {
    "load-nan": {"load": "nan"},
    "load-infinite": {"load": "inf"},
    "load-below-zero": {"load": "-1"},
    "memory-beyond-numbers": {"memory": f"{'9' * 400} 1"},
    "jobs-below-zero": {"running": "-5"},
    "jobs-beyond-integers": {"running": "9" * 5000},
    "cpus-beyond-numbers": {"cpus": f"0-{'9' * 400}"},
    "name-of-a-command": {"name": r"\$(touch\${IFS}canary)"},
    "name-of-a-folder": {"name": "../../etc"},
}
STARTED = 'echo "$nonce started 1 2"; '
OF_A_JOB = {
    "start-long-ago": 'echo "$nonce started 1 1e300"',
    "start-at-no-time": 'echo "$nonce started nan nan"',
    "end-at-no-time": STARTED + 'echo "$nonce ended exit 0 - stopped nan nan nan - 512 0 0 0 0"',
    "end-infinitely-late": STARTED + 'echo "$nonce ended exit 0 - stopped 1 2 inf - 512 0 0 0 0"',
    "status-beyond-integers": STARTED + f'echo "$nonce ended exit {"9" * 30} - stopped 1 2 3 - 512 0 0 0 0"',
    "sizes-below-zero": STARTED + 'echo "$nonce ended exit 0 - stopped 1 2 3 - 512 -5 -5 -5 -5"',
    "output-beyond-disks": STARTED
    + f'echo "$nonce ended exit 0 - stopped 1 2 3 - 512 {1 << 40} 0 0 0"; head -c 30000 /dev/zero',
    "words-without-sense": 'echo "$nonce started $nonce ended"',
    "errors": f"printf 'bad{ESCAPES}\\n{FORGED}\\n' >&2; exit 9",
}


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[EmbeddedFleet]:
    """One honest host."""
    async with EmbeddedFleet(tmp_path / "fleet") as fleet:
        await fleet.add("ada", picoclaw=SMALL_PICOCLAW)
        fleet.write_config()
        yield fleet


async def test_a_host_that_lies_to_the_probe_is_in_trouble_and_the_others_are_not(
    fleet: EmbeddedFleet, call: Caller
) -> None:
    for name, lies in OF_THE_PROBE.items():
        await add_lying_host(fleet, name, **lies)
    fleet.write_config()

    status = await call("fleet_status")

    rows = {host["name"]: host for host in status.data["hosts"]}
    assert rows.pop("ada")["picoclaw"] == "ready"
    assert {name: row.get("reason") for name, row in rows.items()} == dict.fromkeys(OF_THE_PROBE, "protocol_error")
    assert not list(fleet.folder.rglob("canary"))


async def test_a_host_that_lies_about_its_job_keeps_no_other_job_of_the_batch_from_its_end(
    fleet: EmbeddedFleet, call: Caller
) -> None:
    for name, runner in OF_A_JOB.items():
        await add_lying_host(fleet, name, runner=runner)
    fleet.write_config()
    tasks = [{"task": name, "host": name} for name in OF_A_JOB]
    honest = [{"task": f"honest {number}", "host": "ada"} for number in range(5)]

    batch = await call("dispatch_many", tasks=tasks + honest, wait_seconds=0)
    with anyio.fail_after(30):
        while batch.data["counts"]["succeeded"] < len(honest) or len(_in_trouble(batch.data)) < len(OF_A_JOB):
            batch = await call("job_result", batch_id=batch.data["batch_id"], wait_seconds=1)

    assert _in_trouble(batch.data) == set(OF_A_JOB)
    for shown in (batch.text, json.dumps(batch.data, ensure_ascii=False)):
        assert not _UNFIT.search(shown)
        assert not any(line.startswith(FORGED) for line in shown.splitlines())
    # What follows is written down as well.
    assert (await call("dispatch", task="one more", host="ada")).data["state"] == "succeeded"


async def test_a_host_that_denies_the_job_it_is_to_stop_takes_nothing_else_with_it(
    fleet: EmbeddedFleet, call: Caller
) -> None:
    runner = f'case $verb in start) {STARTED} sleep 60 ;; *) echo "$nonce absent"; echo >>"$HOME/denials" ;; esac'
    await add_lying_host(fleet, "denier", runner=runner)
    fleet.write_config()
    job = await call("dispatch", task="x", host="denier", wait_seconds=0)
    denied = fleet.hosts["denier"].home / "denials"

    async def is_running() -> bool:
        return (await call("job_result", job_id=job.data["job_id"])).data["state"] == "running"

    await until(is_running)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(call, "job_cancel", job_id=job.data["job_id"]))
        await until(anyio.Path(denied).exists)
        honest = await call("dispatch", task="another", host="ada")
        assert honest.data["state"] == "succeeded"
        tasks.cancel_scope.cancel()


async def test_a_host_that_lists_files_without_end_is_not_listened_to_for_ever(
    fleet: EmbeddedFleet, call: Caller
) -> None:
    ended = f'echo "$nonce ended exit 1 - stopped 1 2 3 - 512 0 0 0 {1 << 40}"; cat "$HOME/listing"'
    await add_lying_host(fleet, "endless", runner=STARTED + ended)
    fleet.hosts["endless"].home.joinpath("listing").write_text(f"file{ESCAPES} sk-\x1b[0m{'k9' * 20}\n" * 1500)
    fleet.write_config()
    with anyio.fail_after(20):
        job = await call("dispatch", task="x", host="endless")
    assert (job.data["state"], job.data["reason"]) == ("failed", "exit_code")
    assert job.data["files"] == ["file [secret]"] * 100
    assert "more files than the 100" in job.text


async def test_what_a_host_says_of_itself_can_not_reach_the_terminal(fleet: EmbeddedFleet, call: Caller) -> None:
    lies = {"version": f"v9{ESCAPES}x" + "y" * 500, "arch": f"x86{ESCAPES}"}
    await add_lying_host(fleet, "vain", **lies, script=f"printf '%s failed disk{ESCAPES} full\\n' $nonce")
    fleet.write_config()
    status = await call("fleet_status", hosts=["vain"])
    removed = await call("teardown", hosts=["vain"], confirm=True)
    assert (status.data["hosts"][0]["arch"], status.data["hosts"][0]["version"]) == ("x86", "9x" + "y" * 59)
    assert removed.data["hosts"][0]["outcome"] == "failed"
    for reply in (status, removed):
        assert not _UNFIT.search(reply.text + json.dumps(reply.data, ensure_ascii=False))


async def test_a_host_that_says_without_end_what_it_does_is_not_listened_to_for_ever(
    fleet: EmbeddedFleet, call: Caller
) -> None:
    await add_lying_host(fleet, "chatty", script=f"head -c {(4 << 20) + 30_000} /dev/zero")
    fleet.write_config()
    with anyio.fail_after(20):
        torn = await call("teardown", hosts=["chatty"], confirm=True)
    assert (torn.data["hosts"][0]["outcome"], torn.data["hosts"][0]["reason"]) == ("failed", "too_large")


def _in_trouble(batch: dict[str, object]) -> set[str]:
    jobs = batch["jobs"]
    assert isinstance(jobs, list)
    return {job["host"] for job in jobs if job.get("reason")}  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
