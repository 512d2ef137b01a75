"""Deadlines and the word to stop."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest
from tests.worker.site import DEADLINE, Site, is_alive, processes_with

TASK = "count to ten"


@pytest.mark.parametrize("version", ["0.1.2", "0.2.9"])
def test_at_its_deadline_a_job_is_stopped_and_what_it_said_is_kept(site: Site, version: str) -> None:
    site.version = version
    site.reinstall()
    site.busy(60, partial="half an answer", chatty=True)

    ended = site.start("j_one", TASK, seconds=DEADLINE).ending()

    assert (ended.outcome, ended.ending.stop_verified) == ("timed_out", True)
    assert ended.out.endswith(b"half an answer")
    if version == "0.2.9":
        assert TASK.encode() in ended.tail
        assert b'"count"' not in ended.tail


def test_a_job_that_ends_before_its_deadline_is_no_timeout(site: Site) -> None:
    ended = site.start("j_one", TASK, seconds=86_400).ending()

    assert (ended.outcome, ended.ending.exit_status, ended.ending.disk_full) == ("exit", 0, False)
    assert 0 <= ended.ending.started <= ended.ending.ended <= ended.ending.now
    assert ended.ending.output_limit == 1 << 20
    assert ended.tail == b""


def test_a_running_job_is_stopped_and_all_who_wait_are_told(site: Site) -> None:
    site.busy(60, partial="half an answer")
    waiting = site.start("j_one", TASK)
    site.is_up()

    ended = site.stop("j_one").ending()

    assert (ended.outcome, ended.ending.stop_verified) == ("cancelled", True)
    assert ended.out.endswith(b"half an answer")
    assert waiting.ending().outcome == "cancelled"


def test_stopping_a_job_that_the_host_does_not_know_keeps_it_from_ever_starting(site: Site) -> None:
    first = site.stop("j_one").ending()
    assert (first.outcome, first.ending.stop_verified) == ("cancelled", True)
    # The times are this boot's, not the beginning of time.
    assert first.ending.now - first.ending.ended < 5
    assert first.ending.started == first.ending.ended

    started = site.start("j_one", TASK)
    words = started.words()
    assert words[0] == "started"
    assert float(words[2]) - float(words[1]) < 5
    assert started.ending().outcome == "cancelled"
    assert site.wait("j_one").ending().outcome == "cancelled"
    assert site.runs == []


def test_stopping_a_job_that_has_ended_changes_nothing(site: Site) -> None:
    first = site.start("j_one", TASK).ending()
    again = site.stop("j_one").ending()

    assert again.out == first.out
    assert (again.outcome, again.ending.ended) == ("exit", first.ending.ended)


def test_a_job_that_is_stopped_while_it_starts_does_not_run_on(site: Site) -> None:
    """At whatever moment the word to stop comes, everybody is told `cancelled`, or it was too late."""
    rng = random.Random(7)
    site.busy(60)
    for number in range(10):
        job = f"j_{number}"
        start = site.start(job, TASK)
        stops = [threading.Timer(rng.random() / 50, site.stop, [job]) for _ in range(2)]
        for stop in stops:
            stop.start()
        for stop in stops:
            stop.join()
        assert start.ending().outcome == "cancelled"
    assert [call.ending().outcome for call in site.calls if not call.is_closed] == ["cancelled"] * 20
    assert list(processes_with(f"HOME={site.home}")) == []


def test_waiting_for_a_job_that_the_host_does_not_know_is_told_so(site: Site) -> None:
    assert site.wait("j_one").words() == ["absent"]
    assert not site.job("j_one").exists()


@pytest.mark.parametrize("shell", ["busybox"], indirect=True)
def test_a_job_of_an_earlier_boot_is_lost_and_takes_nobody_with_it(site: Site) -> None:
    """The pid that PicoClaw had may be anybody's after a reboot, or long after its death."""
    site.busy(60)
    bystander = site.start("j_bystander", TASK)
    site.is_up()
    stranger = site.processes("j_bystander").picoclaw
    for name, boot in (("j_reboot", "another-boot"), ("j_reused", Path("/proc/sys/kernel/random/boot_id").read_text())):
        job = site.claimed(name, "4 0 100\n")
        (job / "worker").write_text(f"{stranger}-1 999999999.00 {boot.strip()}\n")
    calls = {name: site.wait(name) for name in ("j_reboot", "j_reused")}
    for name, call in calls.items():
        assert call.ending().outcome == "lost"
        assert site.stop(name).ending().outcome == "lost"
    assert is_alive(stranger)

    site.stop("j_bystander")
    assert bystander.ending().outcome == "cancelled"


@pytest.mark.parametrize("shell", ["dash"], indirect=True)
def test_a_job_whose_start_was_killed_before_it_got_anywhere_is_lost(site: Site) -> None:
    site.claimed("j_one")

    assert site.start("j_one", TASK).ending().outcome == "lost"
    assert site.runs == []


@pytest.mark.parametrize("boot", ["another-boot", "a container's"])
@pytest.mark.parametrize("shell", ["bash"], indirect=True)
def test_times_of_a_lost_job_never_run_backwards(site: Site, boot: str) -> None:
    """A container that is restarted has the boot id of before, and an uptime that begins anew."""
    if boot != "another-boot":
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    job = site.claimed("j_one")
    (job / "worker").write_text(f"1-1 999999999.00 {boot}\n")

    call = site.wait("j_one")
    _, since, now = call.words()
    ending = call.ending().ending
    assert 0 <= float(now) - float(since) < 5
    assert 0 <= ending.ended - ending.started < 5
