"""The scripts and the server come to the same outcome on the same host."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import anyio
import pytest
from tests.github import GitHub, picoclaw_files
from tests.skill.desk import GONE, SECONDS, Desk
from tests.skill.test_deploy import ARCH, KEY, UPSTREAM
from tests.skill.worker import Worker
from tests.standin import executable

from picoclaw_fleet.errors import State
from picoclaw_fleet.worker.host_lock import Owner

STATUS_OF = {0: State.SUCCEEDED, 1: State.FAILED, 124: State.TIMED_OUT}


ENDINGS: list[tuple[dict[str, object], int, State]] = [
    ({}, 60, State.SUCCEEDED),
    ({"exit": 7}, 60, State.FAILED),
    ({"panic": True}, 60, State.FAILED),
    ({"empty": True}, 60, State.FAILED),
    ({"no_response": True}, 60, State.FAILED),
    ({"tool_limit": True}, 60, State.FAILED),
    ({"exit": -11}, 60, State.FAILED),
    ({"partial": "half of it", "slow": 30}, 1, State.TIMED_OUT),
]


async def test_jobs_end_alike(desk: Desk, worker: Worker) -> None:
    worker.with_picoclaw()
    async with desk.fleet() as fleet:
        for knobs, seconds, state in ENDINGS:
            worker.knobs(**knobs)
            job = await fleet.dispatch("a task", host="one", timeout_seconds=seconds)
            done = await desk.run("dispatch.sh", *worker.login, "a task", seconds)

            assert job.state == STATUS_OF[done.status] == state, (job, done)
            if state is State.SUCCEEDED:
                assert done.out == f"{job.answer}\n"
            else:
                assert f"{state} ({job.reason}): " in done.err, (job, done)
            if state is State.TIMED_OUT:
                assert "half of it" in done.out and "half of it" in (job.output or "")


@pytest.mark.parametrize("installed", [True, False])
async def test_hosts_look_alike(desk: Desk, worker: Worker, installed: bool) -> None:
    if installed:
        worker.with_picoclaw()
    desk.add(worker.host, **GONE)
    async with desk.fleet() as fleet:
        looked = await fleet.status()
    done = await desk.run("fleet-status.sh", "--json")

    rows = json.loads(done.out)["hosts"]
    same = ("name", "reachable", "picoclaw", "version", "arch", "running", "free_slots", "reason")
    assert [{key: row.get(key) for key in same} for row in rows] == [
        {key: getattr(entry, key) for key in same} for entry in looked.hosts
    ]


async def test_the_server_finds_ready_what_the_script_has_deployed(desk: Desk, worker: Worker) -> None:
    with GitHub() as github:
        github.publish(UPSTREAM, "v0.2.9", picoclaw_files(executable()))
        done = await desk.run("deploy.sh", *worker.login, ARCH, ANTHROPIC_API_KEY=KEY, PICOCLAW_GITHUB_API=github.api)
    async with desk.fleet() as fleet:
        looked = await fleet.status(["one"])
    assert done.status == 0, done
    assert (looked.hosts[0].picoclaw, looked.hosts[0].version) == ("ready", "0.2.9")


async def test_they_share_the_slots_of_a_host(desk: Desk, worker: Worker) -> None:
    worker.with_picoclaw(exec="echo up >$HOME/up; cat $HOME/go")
    os.mkfifo(worker.home / "up")
    os.mkfifo(worker.home / "go")
    desk.add(worker.host, name="small", slots=1)
    async with desk.fleet() as fleet, anyio.create_task_group() as tasks:
        tasks.start_soon(partial(fleet.dispatch, "long", host="small"))
        with anyio.fail_after(SECONDS):
            await anyio.Path(worker.home / "up").read_text()
        refused = await desk.run("dispatch.sh", "small", worker.host.user, "short")
        looked = await desk.run("fleet-status.sh", "--json")
        assert (refused.status, ": no_slot: " in refused.err) == (5, True), refused
        small = json.loads(looked.out)["hosts"][1]
        assert (small["running"], small["free_slots"]) == (1, 0)
        await anyio.Path(worker.home / "go").write_text("")


async def test_what_the_server_is_at_is_left_alone_until_it_is_silent(desk: Desk, worker: Worker) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    up = int(float(Path("/proc/uptime").read_text().split()[0]))
    worker.fleet.mkdir(parents=True)
    lock = worker.fleet / "lock"
    lock.write_text(f"0123456789abcdef {boot} {up} {Owner.ourselves()}\n")
    refused = await desk.run("teardown.sh", *worker.login)
    machine, process = os.uname().nodename, os.getpid()
    assert refused.status == 11
    assert f": locked: {machine}, process {process} is at work there. Try again" in refused.err, refused

    lock.write_text(f"0123456789abcdef {boot} {up - 61} {Owner.ourselves()}\n")
    done = await desk.run("teardown.sh", *worker.login)
    assert (done.status, lock.exists()) == (0, False), done
