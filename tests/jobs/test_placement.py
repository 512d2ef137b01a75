"""Which hosts a batch goes to when they make themselves known one after the other."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests import standin
from tests.embedded_fleet import EmbeddedFleet
from tests.faults.link import Link
from tests.github import Fault, GitHub, picoclaw_files
from tests.jobs.scenario import SECONDS, controller, until

from picoclaw_fleet.assignment import Assignment


def _tasks(count: int) -> list[Assignment]:
    return [Assignment(task=f"task {number}") for number in range(count)]


async def test_as_many_tasks_as_one_host_could_take_are_shared_by_all_that_are_idle(
    small_fleet: EmbeddedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine the second host answers long after the first.
    monkeypatch.setattr("picoclaw_fleet.jobs.batch_run._LEAST_CHOOSING_SECONDS", SECONDS)
    async with controller(small_fleet) as one:
        batch = await one.dispatch_many(_tasks(6), wait_seconds=SECONDS)
    assert Counter(job.host for job in batch.jobs) == {"ada": 2, "bob": 2, "cyd": 2}


async def test_a_host_that_says_nothing_does_not_keep_the_tasks_from_the_others(small_fleet: EmbeddedFleet) -> None:
    host = small_fleet.hosts["bob"]
    async with Link(host.address, host.port) as link:
        small_fleet.entries[1] |= {"port": link.port, "connect_timeout": 2 * SECONDS}
        small_fleet.write_config()
        link.stall()
        async with controller(small_fleet) as one:
            batch = await one.dispatch_many(_tasks(4), hosts=["ada", "bob"], wait_seconds=SECONDS)
    assert Counter(job.host for job in batch.jobs if job.state == "succeeded") == {"ada": 4}


async def test_a_host_gets_picoclaw_though_another_one_says_nothing(
    small_fleet: EmbeddedFleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("picoclaw_fleet.jobs.batch_run._LOOK_SECONDS", 0.01)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-of-this-test-0123456789")
    monkeypatch.setenv("PICOCLAW_FLEET_CACHE_DIR", str(tmp_path / "cache"))
    (small_fleet.hosts["ada"].home / ".local/bin/picoclaw").unlink()
    host = small_fleet.hosts["bob"]
    with GitHub() as github:
        github.publish("EricGrill/picoclaw", "v0.2.9", picoclaw_files(standin.executable("0.2.9")))
        small_fleet.defaults = {"github_api": github.api}
        async with Link(host.address, host.port) as link:
            small_fleet.entries[1] |= {"port": link.port, "connect_timeout": 2 * SECONDS}
            small_fleet.write_config()
            link.stall()
            async with controller(small_fleet) as one:
                batch = await one.dispatch_many(_tasks(1), hosts=["ada", "bob"], wait_seconds=SECONDS)
    assert [(job.host, job.state) for job in batch.jobs] == [("ada", "succeeded")]


async def test_a_host_without_picoclaw_is_no_trouble_for_a_broadcast_while_another_is_slow_to_answer(
    small_fleet: EmbeddedFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    (small_fleet.hosts["ada"].home / ".local/bin/picoclaw").unlink()
    host = small_fleet.hosts["bob"]
    async with Link(host.address, host.port) as link:
        small_fleet.entries[1]["port"] = link.port
        small_fleet.write_config()
        link.stall()
        async with controller(small_fleet) as one:
            begun = await one.dispatch_many(_tasks(1), hosts=["all"], mode="broadcast", wait_seconds=0)

            async def the_others_are_done() -> bool:
                counts = (await one.result(batch_id=begun.batch_id)).model_dump()["counts"]
                return (counts["failed"], counts["succeeded"]) == (1, 1)

            await until(the_others_are_done)
            link.flow()
            batch = await one.result(batch_id=begun.batch_id, wait_seconds=SECONDS)
    ends = {(job["host"], job["state"], job["reason"]) for job in batch.model_dump()["jobs"]}
    assert ends == {("ada", "failed", "key_missing"), ("bob", "succeeded", None), ("cyd", "succeeded", None)}


async def test_what_a_job_misses_is_put_there_as_a_deploy_would_and_together_with_it(
    small_fleet: EmbeddedFleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-of-this-test-0123456789")
    monkeypatch.setenv("PICOCLAW_FLEET_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("ada", "bob"):
        (small_fleet.hosts[name].home / ".local/bin/picoclaw").unlink()
    with GitHub() as github:
        for version in ("0.2.9", "0.2.10"):
            github.publish("EricGrill/picoclaw", f"v{version}", picoclaw_files(standin.executable(version)))
        github.download_fault = Fault.STALLED
        small_fleet.defaults = {"github_api": github.api, "version": "v0.2.9"}
        small_fleet.write_config()
        async with controller(small_fleet) as one:
            deploying = await one.deploy(["ada"], wait_seconds=0)
            job = await one.dispatch("x", host="ada", wait_seconds=1)
            assert (deploying.hosts[0].outcome, job.state) == ("in_progress", "queued")
            github.resume.set()
            ends = [
                await one.result(job.job_id, wait_seconds=SECONDS),
                await one.dispatch("x", host="bob", wait_seconds=SECONDS),
            ]
            hosts = (await one.status(["ada", "bob"])).hosts
    assert [end.model_dump()["state"] for end in ends] == ["succeeded"] * 2
    assert [host.version for host in hosts] == ["0.2.9"] * 2
