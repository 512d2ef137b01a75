"""Slots: never more jobs at once than the host has room for, and none lost to the dead."""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.servers import required
from tests.worker.site import SECONDS, Site, stamp_of, wait_for_exit

TASK = "count to ten"
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

# It stays until it is told to go, and tells how many there are with it: each lies as a file in a folder.
COUNTER = """#!/bin/sh
true >"$HOME/inside/$$"
set -- "$HOME"/inside/*
echo $# >>"$HOME/most"
read -r _ <"$HOME/go"
rm -f "$HOME/inside/$$"
"""


def test_one_job_more_than_slots_is_refused_and_can_come_again(site: Site) -> None:
    site.busy(60)
    first = site.start("j_one", TASK, slots=1)
    site.is_up()

    assert site.start("j_two", TASK, slots=1).words() == ["no_slot"]
    assert not site.job("j_two").exists()
    assert len(site.running) == 1

    assert site.stop("j_one").ending().outcome == "cancelled"
    assert first.ending().outcome == "cancelled"
    site.knobs()
    assert site.start("j_two", TASK, slots=1).ending().answer == f"done: {TASK}"


# The guard notices late that its runner is gone: when its job is half removed already.
LATE_TIMER = """#!/bin/sh
trap '' TERM
echo $PPID >"$HOME/guard"
until [ -e "$HOME/half_removed" ]; do /bin/sleep 0.01; done
exit 143
"""
SLOW_REMOVAL = """#!/bin/sh
for last; do :; done
case $last in
  */claims/*)
    job=${last%/claims/*}/jobs/${last##*/}
    /bin/rm -f "$job/outcome" "$job/closed"
    : >"$HOME/half_removed"
    read -r guard <"$HOME/guard"
    while kill -0 "$guard" 2>/dev/null; do /bin/sleep 0.01; done
    [ ! -e "$job/outcome" ] || : >"$HOME/came_back" ;;
esac
exec /bin/rm "$@"
"""


@pytest.mark.parametrize("shell", ["dash", "bash"], indirect=True)
def test_a_refused_job_that_is_being_removed_is_not_taken_for_one_whose_runner_was_killed(
    site: Site, tmp_path: Path
) -> None:
    site.busy(60)
    site.start("j_one", TASK, slots=1)
    site.is_up()
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in (("sleep", LATE_TIMER), ("rm", SLOW_REMOVAL)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    site.env["PATH"] = f"{programs}:{site.shell.path}"

    assert site.start("j_two", TASK, slots=1).words() == ["no_slot"]
    assert not (site.home / "came_back").exists()
    del site.env["PATH"]
    assert site.stop("j_one").ending().outcome == "cancelled"


@pytest.mark.parametrize(("shell", "rounds"), [("dash", 34), ("bash", 33), ("busybox", 33)], indirect=["shell"])
def test_twelve_contenders_for_four_slots_a_hundred_times(site: Site, rounds: int) -> None:
    binary = site.home / ".local/bin/picoclaw"
    binary.unlink()
    binary.write_text(COUNTER.replace("#!/bin/sh", f"#!{site.shell.program}"))
    binary.chmod(0o755)
    (site.home / "inside").mkdir()
    go = site.home / "go"
    admitted = 0
    for number in range(rounds):
        os.mkfifo(go)
        gate = os.open(go, os.O_RDWR)
        calls = [site.start(f"j_{number}_{one}", TASK) for one in range(12)]
        words = [call.words() for call in calls]
        assert {word[0] for word in words} <= {"started", "no_slot"}
        inside = [call for call, word in zip(calls, words, strict=True) if word[0] == "started"]
        assert len(inside) <= 4
        admitted += len(inside)
        os.write(gate, b"\n" * 12)
        assert [call.ending().ending.exit_status for call in inside] == [0] * len(inside)
        for call in calls:
            call.close()
        site.calls.clear()
        os.close(gate)
        go.unlink()
        assert site.running == []
    assert admitted > 0
    assert max(map(int, (site.home / "most").read_text().split())) <= 4


def test_what_the_dead_have_left_is_cleared_away(site: Site) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait(SECONDS)
    me = stamp_of(os.getpid())
    entries = {
        "an earlier boot": f"j_boot.{uuid.uuid4()}.{me}.{me}",
        "a dead pid": f"j_dead.{BOOT}.{gone.pid}-1.{gone.pid}-1",
        "a pid that is somebody else's now": f"j_reused.{BOOT}.{os.getpid()}-1.1-1",
        "nonsense": "j_nonsense.x.y.z",
    }
    for entry in entries.values():
        (site.folder / "running" / entry).touch()

    assert site.start("j_one", TASK, slots=1).ending().outcome == "exit"
    assert site.running == []


@pytest.mark.parametrize("alive", ["runner", "guard"])
def test_what_the_living_have_is_kept(site: Site, alive: str) -> None:
    me, nobody = stamp_of(os.getpid()), "999999999-1"
    pair = (me, nobody) if alive == "runner" else (nobody, me)
    entry = site.folder / "running" / f"j_other.{BOOT}.{pair[0]}.{pair[1]}"
    entry.touch()

    assert site.start("j_one", TASK, slots=1).words() == ["no_slot"]
    assert site.start("j_two", TASK, slots=2).ending().outcome == "exit"
    assert entry.exists()
    entry.unlink()


def test_a_job_that_is_closed_holds_no_slot_though_its_processes_are_a_moment_late(site: Site) -> None:
    (site.claimed("j_other") / "closed").write_text("stopped 1.00\n")
    me = stamp_of(os.getpid())
    (site.folder / "running" / f"{site.tag}j_other.{BOOT}.{me}.{me}").touch()

    assert site.start("j_one", TASK, slots=1).ending().outcome == "exit"


def test_entries_of_closed_jobs_do_not_pile_up_until_the_jobs_are_forgotten(site: Site) -> None:
    for number in range(20):
        assert site.start(f"j_{number}", TASK).ending().outcome == "exit"
        assert len(list((site.folder / "running").iterdir())) <= 9


def test_a_name_that_reads_like_the_state_of_the_dead_deceives_nobody(site: Site) -> None:
    named = ["sh", "-c", "printf 'a) Z 1' >/proc/$$/comm; echo; read _"]
    with subprocess.Popen(named, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin and process.stdout
        process.stdout.readline()
        stamp = stamp_of(process.pid)
        entry = site.folder / "running" / f"j_other.{BOOT}.{stamp}.999999999-1"
        entry.touch()

        assert site.start("j_one", TASK, slots=1).words() == ["no_slot"]
        entry.unlink()
        process.stdin.close()


@contextmanager
def own_name(site: Site, name: str) -> Generator[None]:
    """Calls of the runner come from a machine of that name."""
    site.name, site.wrapper = name, ("unshare", "--uts", "sh", "-c", f'hostname {name} && exec "$@"', "host")
    try:
        yield
    finally:
        site.name, site.wrapper = "host", ()


@pytest.mark.skipif(os.getuid() != 0 and not os.environ.get("CI"), reason="only root makes a UTS namespace")
@pytest.mark.parametrize("shell", ["dash"], indirect=True)
def test_hosts_that_share_a_home_leave_each_others_jobs_alone(site: Site) -> None:
    required("unshare")
    for name in ("left", "right"):
        site.add_name(name)
    site.busy(60)
    with own_name(site, "left"):
        left = site.start("j_left", TASK, slots=1)
        site.is_up()
    with own_name(site, "right"):
        assert site.wait("j_left").words() == ["absent"]
        right = site.start("j_right", TASK, slots=1)
        site.is_up()
        assert site.start("j_more", TASK, slots=1).words() == ["no_slot"]
        site.stop("j_right").ending()
        assert right.ending().outcome == "cancelled"
    with own_name(site, "left"):
        assert len(site.running) == 1
        site.stop("j_left").ending()
        assert left.ending().outcome == "cancelled"


def test_who_dies_while_he_has_a_slot_gives_it_back(site: Site) -> None:
    """Runners and guards are killed in mid-job; whoever comes next finds room."""
    site.busy(60)
    for number in range(3):
        call = site.start(f"j_{number}", TASK, slots=1)
        site.is_up()
        processes = site.processes(f"j_{number}")
        for pid in (call.pid, processes.guard, processes.runner, processes.picoclaw):
            os.kill(pid, signal.SIGKILL)
        call.exited()
        # A busy machine is a moment late to end them, and until then they have the slot.
        assert wait_for_exit([processes.guard, processes.runner, processes.picoclaw]) == []
    site.knobs()
    assert site.start("j_last", TASK, slots=1).ending().outcome == "exit"
