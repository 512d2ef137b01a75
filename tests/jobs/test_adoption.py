"""What becomes of jobs whose process died: another one takes them up, and none is lost, run twice or left behind."""

from __future__ import annotations

import json
import platform
import shutil
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from tests import standin
from tests.embedded_fleet import EmbeddedFleet, Gate
from tests.jobs.scenario import SECONDS, controller, die, until

from picoclaw_fleet.config.file import ConfigSource
from picoclaw_fleet.errors import Reason, State
from picoclaw_fleet.fleet import Fleet
from picoclaw_fleet.jobs.ledger import Ledger
from picoclaw_fleet.jobs.model import Job
from picoclaw_fleet.results import JobResult
from picoclaw_fleet.transport import EmbeddedHost

LIAR = """\
#!/bin/sh
for nonce; do
  echo "$nonce host x x x x"
  echo "$nonce running x"
  echo "$nonce end"
done
"""


@pytest.fixture
def gate(fleet: EmbeddedFleet) -> Gate:
    fleet.set_knobs(log="runs.log", exec=Gate.command)
    return fleet.gate("ada")


async def _leave(fleet: EmbeddedFleet, job: Job) -> Job:
    """Has a process note a job down and die."""
    ledger = Ledger(fleet.state / f"ledger-{platform.node()}.sqlite")
    await ledger.open()
    await ledger.add([job])
    await die(ledger)
    return job


async def _see(fleet: Fleet, job_id: str, wait_seconds: float = 0) -> JobResult:
    result = await fleet.result(job_id, wait_seconds=wait_seconds)
    assert isinstance(result, JobResult)
    return result


def _folder(fleet: EmbeddedFleet, job_id: str, name: str = "ada") -> Path:
    return fleet.hosts[name].home / ".picoclaw/fleet" / platform.node() / "jobs" / job_id


async def _is_closed(fleet: EmbeddedFleet, job_id: str) -> bool:
    return (_folder(fleet, job_id) / "closed").exists()


def _runs(fleet: EmbeddedFleet) -> int:
    return sum(len(standin.runs(host.home / "runs.log")) for host in fleet.hosts.values())


async def _dispatch_and_die(fleet: EmbeddedFleet, gate: Gate) -> str:
    async with controller(fleet) as first:
        job = await first.dispatch("x", host="ada", wait_seconds=0)
        await gate.arrival()
        await until(lambda: _is_state(first, job.job_id, "running"))
    return job.job_id


async def _is_state(fleet: Fleet, job_id: str, state: str) -> bool:
    return any(job.job_id == job_id for job in (await fleet.jobs(state=state)).jobs)


async def test_a_running_job_is_watched_on_by_the_next_process_whatever_it_is_asked_for(
    fleet: EmbeddedFleet, gate: Gate
) -> None:
    job_id = await _dispatch_and_die(fleet, gate)
    async with controller(fleet) as second:
        assert (await second.jobs()).jobs[0].state == "running"
        gate.open()
        # Nothing but `jobs` is called: it needs no config, the job's end does.
        await until(lambda: _is_state(second, job_id, "succeeded"))
        assert (await _see(second, job_id)).answer == "done: x"
    assert _runs(fleet) == 1


async def test_what_ended_while_nobody_was_there_is_brought_home_and_is_news_once(
    fleet: EmbeddedFleet, gate: Gate
) -> None:
    job_id = await _dispatch_and_die(fleet, gate)
    gate.open()
    with anyio.fail_after(SECONDS):
        await gate.departure()
    await until(lambda: _is_closed(fleet, job_id))
    async with controller(fleet) as second:
        notices: list[str] = []
        with anyio.fail_after(SECONDS):
            while not notices:
                notices = (await second.status()).notices
                await anyio.sleep(0.05)
        assert [job_id in notice for notice in notices] == [True]
        assert (await second.status()).notices == []
        assert (await _see(second, job_id)).answer == "done: x"


async def test_news_is_not_lost_in_a_deploy_that_looks_at_the_hosts_first(fleet: EmbeddedFleet) -> None:
    async with controller(fleet) as one:
        job_id = (await one.dispatch("x", wait_seconds=0)).job_id
        await until(lambda: _has_ended(one, job_id))
        deployed = await one.deploy()
        assert deployed.summary == "All hosts are ready."
        assert [job_id in notice for notice in deployed.notices] == [True]
        assert (await one.status()).notices == []


async def _has_ended(fleet: Fleet, job_id: str) -> bool:
    """Looks where looking is not taken for a caller's."""
    return (await fleet._ledger.job(job_id)).state.finished  # pyright: ignore[reportPrivateUsage]


async def test_one_of_two_processes_watches_and_the_other_one_sees_the_end(fleet: EmbeddedFleet, gate: Gate) -> None:
    job_id = await _dispatch_and_die(fleet, gate)
    async with controller(fleet) as second, controller(fleet) as third:
        gate.open()
        for one in (second, third):
            result = await _see(one, job_id, SECONDS)
            assert (result.state, result.answer) == ("succeeded", "done: x")


async def test_what_has_vanished_from_its_host_is_lost(fleet: EmbeddedFleet, gate: Gate) -> None:
    job_id = await _dispatch_and_die(fleet, gate)
    shutil.rmtree(_folder(fleet, job_id).parent.parent)
    async with controller(fleet) as second:
        result = await _see(second, job_id, SECONDS)
    assert (result.state, result.reason) == ("lost", "lost_contact")


async def test_a_job_that_never_arrived_waits_until_it_is_named_and_runs_once_on_the_same_host(
    fleet: EmbeddedFleet,
) -> None:
    fleet.set_knobs(log="runs.log")
    job = await _leave(fleet, Job("x", ("ada", "bob"), 60, host="bob", sent=True, address=_address(fleet, "bob")))
    async with controller(fleet) as second:
        await second.status()
        await until(lambda: _is_unsent(second, job.job_id))
        assert _runs(fleet) == 0
        result = await _see(second, job.job_id, SECONDS)
    assert (result.state, result.host) == ("succeeded", "bob")
    assert _runs(fleet) == 1


async def test_a_job_that_never_arrived_goes_on_for_who_named_it_before_that_was_known(
    fleet: EmbeddedFleet,
) -> None:
    fleet.set_knobs(log="runs.log")
    job = await _leave(fleet, Job("x", ("ada",), 60, host="ada", sent=True, address=_address(fleet, "ada")))
    async with controller(fleet) as second:
        assert (await _see(second, job.job_id, SECONDS)).state == "succeeded"
    assert _runs(fleet) == 1


async def test_a_job_that_was_refused_while_nobody_listened_is_not_lost(fleet: EmbeddedFleet) -> None:
    fleet.set_knobs(log="runs.log")
    job = await _leave(fleet, Job("x", ("ada",), 60, host="ada", sent=True, address=_address(fleet, "ada")))
    async with controller(fleet, fleet.folder / "elsewhere") as stranger:
        await stranger.dispatch("puts the runner there", host="ada")
    folder = _folder(fleet, job.job_id)
    folder.mkdir(parents=True)
    (folder.parent.parent / "claims" / job.job_id).touch()
    (folder / "outcome").write_text("no_slot\n")
    (folder / "closed").write_text("stopped 1\n")
    async with controller(fleet) as second:
        await second.status()
        await until(lambda: _is_unsent(second, job.job_id))
        result = await _see(second, job.job_id, SECONDS)
    assert (result.state, _runs(fleet)) == ("succeeded", 2)


async def _is_unsent(fleet: Fleet, job_id: str) -> bool:
    job = await fleet._ledger.job(job_id)  # pyright: ignore[reportPrivateUsage]
    return not job.sent


def _address(fleet: EmbeddedFleet, name: str) -> str:
    return f"me@127.0.0.1:{fleet.hosts[name].port}"


async def test_the_next_process_stops_what_the_dead_one_had_started(fleet: EmbeddedFleet, gate: Gate) -> None:
    job_id = await _dispatch_and_die(fleet, gate)
    async with controller(fleet) as second:
        result = await second.cancel(job_id)
        assert [(job.state, job.reason) for job in result.jobs] == [("cancelled", "cancelled")]


async def test_stopping_what_may_still_arrive_makes_its_id_unusable_there(fleet: EmbeddedFleet) -> None:
    job = await _leave(fleet, Job("x", ("ada", "bob"), 60, host="ada", address=_address(fleet, "ada")))
    async with controller(fleet) as second:
        result = await second.cancel(job.job_id)
        assert [(job.state, job.host) for job in result.jobs] == [("cancelled", "ada")]
    assert (_folder(fleet, job.job_id) / "outcome").read_text().startswith("cancelled")


@pytest.mark.parametrize("entry", [{"port": 1}, {"name": "renamed"}], ids=["down", "not-in-the-config"])
async def test_what_may_still_arrive_has_not_failed_while_its_host_can_t_be_asked(
    fleet: EmbeddedFleet, entry: dict[str, object]
) -> None:
    fleet.set_knobs(log="runs.log")
    job = await _leave(fleet, Job("x", ("ada", "bob"), 60, host="ada", address=_address(fleet, "ada")))
    good = fleet.entries[0]
    fleet.entries[0] = good | entry
    fleet.write_config()
    async with controller(fleet) as second:
        await _see(second, job.job_id)
        await until(lambda: _is_state_with(second, job.job_id, "queued", "lost_contact"))
        fleet.entries[0] = good
        fleet.write_config()
        result = await _see(second, job.job_id, SECONDS)
    assert (result.state, result.host) == ("succeeded", "ada")
    assert _runs(fleet) == 1


async def _is_state_with(fleet: Fleet, job_id: str, state: str, reason: str) -> bool:
    result = await _see(fleet, job_id)
    return (result.state, result.reason) == (state, reason)


async def test_a_queued_job_that_was_to_be_stopped_is_cancelled_without_being_named(fleet: EmbeddedFleet) -> None:
    job = await _leave(fleet, Job("x", ("ada",), 60, stop_wanted=True))
    async with controller(fleet) as second:
        await until(lambda: _is_state(second, job.job_id, "cancelled"))


async def test_a_queued_job_waits_for_a_day_and_no_longer(fleet: EmbeddedFleet) -> None:
    young, old = Job("young", ("ada",), 60), Job("old", ("ada",), 60)
    young.created_at -= timedelta(hours=23)
    old.created_at -= timedelta(hours=25)
    for job in (young, old):
        await _leave(fleet, job)
    async with controller(fleet) as second:
        await until(lambda: _is_state(second, old.job_id, "cancelled"))
        assert await _is_state(second, young.job_id, "queued")
        assert (await _see(second, young.job_id, SECONDS)).state == "succeeded"


async def test_a_job_of_a_host_that_is_not_in_the_config_any_more_goes_on_until_it_is_again(
    fleet: EmbeddedFleet, gate: Gate
) -> None:
    job_id = await _dispatch_and_die(fleet, gate)
    fleet.entries[0]["name"] = "renamed"
    fleet.write_config()
    async with controller(fleet) as second:
        await until(lambda: _says(second, job_id, "not in the fleet config"))
        result = await _see(second, job_id)
        assert (result.state, result.reason) == ("running", "lost_contact")
        assert "Give it this name there again." in (result.message or "")
        fleet.entries[0]["name"] = "ada"
        fleet.write_config()
        gate.open()
        assert (await _see(second, job_id, SECONDS)).state == "succeeded"


async def test_who_can_t_bring_a_job_home_leaves_it_to_a_process_that_can(fleet: EmbeddedFleet, gate: Gate) -> None:
    job_id = await _dispatch_and_die(fleet, gate)
    elsewhere = fleet.config.with_name("elsewhere.json")
    elsewhere.write_text(json.dumps({"hosts": fleet.entries[1:]}))
    async with Fleet(ConfigSource(elsewhere), state=fleet.state) as stranger:
        await until(lambda: _says(stranger, job_id, "not in the fleet config"))
        async with controller(fleet) as second:
            gate.open()
            assert (await _see(second, job_id, SECONDS)).state == "succeeded"
            assert await _is_state(stranger, job_id, "succeeded")
    assert _runs(fleet) == 1


async def test_who_does_not_know_what_is_secret_does_not_fetch_what_a_job_has_printed(
    fleet: EmbeddedFleet, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THE_PASSWORD", "correct horse")
    fleet.set_knobs(exec=f"{Gate.command}; echo $DB_PASSWORD", reply="{output}")
    fleet.entries[0]["env"] = {"DB_PASSWORD": "${THE_PASSWORD}"}
    fleet.write_config()
    job_id = await _dispatch_and_die(fleet, gate)
    gate.open()
    monkeypatch.delenv("THE_PASSWORD")
    async with controller(fleet) as second:
        await until(lambda: _says(second, job_id, "Set THE_PASSWORD in the environment of this server."))
        monkeypatch.setenv("THE_PASSWORD", "correct horse")
        result = await _see(second, job_id, SECONDS)
    assert (result.state, (result.answer or "").strip()) == ("succeeded", "[secret]")


async def test_another_machine_under_the_old_name_is_no_evidence_that_a_job_is_lost(
    fleet: EmbeddedFleet, gate: Gate, tmp_path: Path
) -> None:
    job_id = await _dispatch_and_die(fleet, gate)
    old = fleet.entries[0]
    fleet.entries[0] = {**fleet.entries[1], "name": "ada"}
    fleet.write_config()
    async with controller(fleet) as second:
        await until(lambda: _says(second, job_id, "another address"))
        assert (await _see(second, job_id)).state == "running"
        fleet.entries[0] = old
        fleet.write_config()
        gate.open()
        assert (await _see(second, job_id, SECONDS)).state == "succeeded"
    assert _runs(fleet) == 1


async def _says(fleet: Fleet, job_id: str, text: str) -> bool:
    job = next(job for job in (await fleet.jobs()).jobs if job.job_id == job_id)
    return text in (job.message or "")


async def test_a_host_that_talks_nonsense_does_not_keep_the_others_jobs_from_ending(
    fleet: EmbeddedFleet, gate: Gate
) -> None:
    job_id = await _dispatch_and_die(fleet, gate)
    home = fleet.folder / "hosts/liar"
    (home / "bin").mkdir(parents=True)
    # It echoes the nonce of the probe, and then what no host says.
    liar = home / "bin/sh"
    liar.write_text(LIAR)
    liar.chmod(0o755)
    public_key = fleet._public_key  # pyright: ignore[reportPrivateUsage]
    async with EmbeddedHost(home, authorized_key=public_key, env={"PATH": f"{home}/bin:/usr/bin:/bin"}) as host:
        fleet.entries.append({**fleet.entry("liar", host.port), "host_key": host.host_key})
        fleet.write_config()
        lost = await _leave(fleet, Job("y", ("liar",), 60, host="liar", sent=True))
        async with controller(fleet) as second:
            told = (await second.status(["liar"])).hosts[0]
            assert (told.reachable, told.reason) == (False, Reason.PROTOCOL_ERROR)
            await until(lambda: _says(second, lost.job_id, "makes no sense"))
            gate.open()
            assert (await _see(second, job_id, SECONDS)).state == State.SUCCEEDED
