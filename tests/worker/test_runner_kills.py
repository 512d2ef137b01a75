"""Whoever is killed: the job ends, the truth is told, and nothing of it is left."""

from __future__ import annotations

import os
import random
import signal
import threading
from pathlib import Path

import pytest
from tests.worker.site import DEADLINE, Site, command_of, is_alive, wait_for_exit

TASK = "count to ten"


def kill(*pids: int) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def test_a_front_that_is_killed_leaves_the_job_alone(site: Site) -> None:
    site.busy(0.3)
    front = site.start("j_one", TASK)
    site.is_up()
    front.kill()

    assert site.wait("j_one").ending().answer == f"done: {TASK}"


def test_a_front_ends_with_its_connection_and_the_job_goes_on(site: Site) -> None:
    site.busy(0.3)
    front = site.start("j_one", TASK)
    site.is_up()
    front.hang_up()
    front.exited()

    assert site.wait("j_one").ending().answer == f"done: {TASK}"


def test_after_the_death_of_the_runner_the_guard_stops_the_job(site: Site) -> None:
    site.busy(60, partial="half an answer")
    call = site.start("j_one", TASK)
    site.is_up()
    processes = site.processes("j_one")
    kill(processes.runner)

    ended = call.ending()
    assert (ended.outcome, ended.ending.stop_verified) == ("killed", True)
    assert not is_alive(processes.picoclaw)
    assert ended.out.endswith(b"half an answer")
    assert b"half an answer" in ended.tail


def test_after_the_death_of_the_guard_the_job_ends_as_if_nothing_had_been(site: Site) -> None:
    site.busy(0.5)
    call = site.start("j_one", TASK)
    site.is_up()
    kill(site.processes("j_one").guard)

    ended = call.ending()
    assert (ended.outcome, ended.ending.exit_status) == ("exit", 0)
    assert ended.answer == f"done: {TASK}"


def test_the_death_of_picoclaw_is_told_by_its_signal(site: Site) -> None:
    site.busy(60, partial="half an answer")
    call = site.start("j_one", TASK)
    site.is_up()
    kill(site.processes("j_one").picoclaw)

    ended = call.ending()
    assert (ended.outcome, ended.ending.exit_status) == ("exit", 128 + signal.SIGKILL)
    assert ended.ending.kills is not None


@pytest.mark.parametrize("shell", ["bash"], indirect=True)
def test_after_the_death_of_who_tells_the_guard_of_the_runners_end_the_guard_ends_all_the_same(site: Site) -> None:
    site.busy(60)
    call = site.start("j_one", TASK)
    site.is_up()
    processes = site.processes("j_one")
    children = Path(f"/proc/{processes.guard}/task/{processes.guard}/children").read_text().split()
    timer, teller, runner = map(int, children)
    assert (command_of(timer), runner) == ("sleep 60 ", processes.runner)
    kill(teller)

    assert site.stop("j_one").ending().outcome == "cancelled"
    assert call.ending().outcome == "cancelled"
    assert wait_for_exit([processes.guard, timer]) == []


def test_after_the_death_of_runner_and_guard_whoever_waits_stops_the_job(site: Site) -> None:
    site.busy(60)
    call = site.start("j_one", TASK)
    site.is_up()
    processes = site.processes("j_one")
    kill(processes.guard, processes.runner)

    ended = call.ending()
    assert (ended.outcome, ended.ending.stop_verified) == ("lost", True)
    assert not is_alive(processes.picoclaw)
    # Another one who asks is told the same.
    assert site.wait("j_one").ending().ending.started == ended.ending.started


@pytest.mark.parametrize("shell", ["busybox"], indirect=True)
def test_after_the_death_of_all_of_ours_the_next_one_who_asks_stops_the_job(site: Site) -> None:
    site.busy(60)
    call = site.start("j_one", TASK)
    site.is_up()
    processes = site.processes("j_one")
    kill(call.pid, processes.guard, processes.runner)
    call.exited()
    assert is_alive(processes.picoclaw)

    ended = site.wait("j_one").ending()
    assert (ended.outcome, ended.ending.stop_verified) == ("lost", True)
    assert not is_alive(processes.picoclaw)


@pytest.mark.parametrize("shell", ["dash"], indirect=True)
def test_a_job_that_outlives_its_runner_and_guard_keeps_its_slot(site: Site) -> None:
    site.busy(60)
    first = site.start("j_one", TASK, slots=1)
    site.is_up()
    processes = site.processes("j_one")
    kill(first.pid, processes.guard, processes.runner)
    first.exited()

    assert site.start("j_two", TASK, slots=1).words() == ["no_slot"]

    assert site.stop("j_one").ending().outcome == "cancelled"
    site.knobs()
    assert site.start("j_two", TASK, slots=1).ending().outcome == "exit"


@pytest.mark.parametrize("victims", ["runner", "guard", "both"])
def test_the_deadline_holds_though_front_and_caller_are_dead(site: Site, victims: str) -> None:
    """Only the death of both runner and guard leaves the stopping to the next one who asks."""
    site.busy(60)
    front = site.start("j_one", TASK, seconds=DEADLINE)
    site.is_up()
    processes = site.processes("j_one")
    front.kill()
    if victims == "runner":
        kill(processes.runner)
        assert wait_for_exit([processes.picoclaw]) == []
    elif victims == "guard":
        kill(processes.guard)
        assert site.stop("j_one").ending().outcome == "cancelled"
        return
    else:
        assert wait_for_exit([processes.picoclaw]) == []
    expected = "killed" if victims == "runner" else "timed_out"
    assert site.wait("j_one").ending().outcome == expected


def test_killed_at_any_moment_nobody_waits_for_ever(site: Site) -> None:
    """Each round kills one or all of the job's processes while several wait for it."""
    rng = random.Random(4)
    rounds = ["runner", "picoclaw", "runner", "all of ours", "picoclaw", "runner", "picoclaw"]
    site.busy(60)
    outcomes: set[str] = set()
    for number, who in enumerate(rounds):
        job = f"j_{number}"
        calls = [site.start(job, TASK)]
        site.is_up()
        processes = site.processes(job)
        victims = {
            "runner": [processes.runner],
            "picoclaw": [processes.picoclaw],
            "all of ours": [processes.guard, processes.runner],
        }[who]
        killer = threading.Timer(rng.random() / 20, kill, victims)
        killer.start()
        calls += [site.wait(job) for _ in range(9)]
        killer.join()
        ended = [call.ending() for call in calls]
        assert len({(one.outcome, one.ending.exit_status, one.ending.ended) for one in ended}) == 1
        outcomes.add(ended[0].outcome)
    assert outcomes <= {"killed", "lost", "exit"}
