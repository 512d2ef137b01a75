"""Boards with too little: a kernel that doesn't count, programs that die before they have done their work."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.servers import required
from tests.worker.site import Site, is_alive, processes_with, wait_for_exit

from picoclaw_fleet.errors import Reason, State
from picoclaw_fleet.worker.verdict import judge

TASK = "count to ten"
only_root = pytest.mark.skipif(os.getuid() != 0 and not os.environ.get("CI"), reason="only root may mount")
with_programs = pytest.mark.parametrize("shell", ["dash", "bash"], indirect=True)


def replace_program(site: Site, name: str, text: str) -> Path:
    """Puts a program before all others of that name on the host."""
    program = Path(site.shell.path.split(":")[0]) / name
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o700)
    return program


@only_root
def test_where_the_kernel_counts_no_lack_of_memory_a_killed_job_ends_all_the_same(site: Site) -> None:
    """Linux counts since 4.13, and boards have older ones."""
    (site.home / "vmstat").write_text("nr_free_pages 1000\n")
    site.wrapper = ("unshare", "--mount", "sh", "-c", 'mount --bind vmstat /proc/vmstat && exec "$@"', "host")
    site.busy(60, partial="half an answer")
    call = site.start("j_one", TASK)
    site.is_up()
    os.kill(site.processes("j_one").picoclaw, signal.SIGKILL)

    ended = call.ending()
    assert (ended.ending.exit_status, ended.ending.kills) == (128 + signal.SIGKILL, None)
    assert ended.out.endswith(b"half an answer")
    assert judge(ended.ending, "", kills_before=None).reason is Reason.SIGNAL


@with_programs
def test_an_output_is_not_called_empty_since_it_could_not_be_measured(site: Site) -> None:
    wc = replace_program(site, "wc", "kill -s KILL $$")
    call = site.start("j_one", TASK)
    assert call.words()[0] == "started"
    assert call.words() == []
    wc.unlink()

    ended = site.wait("j_one").ending()
    assert (judge(ended.ending, ended.answer, kills_before=None).state, ended.answer) == (
        State.SUCCEEDED,
        f"done: {TASK}",
    )


@pytest.mark.parametrize("shell", ["dash"], indirect=True)
@pytest.mark.parametrize(
    "death", ["kill -s KILL $$", "echo 'grep: memory exhausted' >&2; exit 2"], ids=["kill", "exit"]
)
def test_a_search_that_did_not_take_place_is_no_sign_that_all_is_stopped(site: Site, death: str) -> None:
    site.knobs(exec="echo $$ >$HOME/child; echo >$HOME/up; exec sleep 300", background=True, slow=60)
    call = site.start("j_one", TASK)
    site.is_up()
    child = int((site.home / "child").read_text())
    grep = replace_program(site, "grep", death)

    ended = site.stop("j_one").ending()
    assert is_alive(child)
    assert not ended.ending.stop_verified

    grep.unlink()
    assert call.ending().outcome == "cancelled"
    os.kill(child, signal.SIGKILL)


@only_root
@with_programs
def test_in_a_container_that_is_told_the_last_pid_of_its_host_no_late_child_is_left(site: Site) -> None:
    """As lxcfs does. The child comes while the first search is under way, and so is in none of its names."""
    (site.home / "loadavg").write_text("0.00 0.01 0.05 1/300 4000000\n")
    site.wrapper = ("unshare", "--mount", "sh", "-c", 'mount --bind loadavg /proc/loadavg && exec "$@"', "host")
    real = required("grep")
    child = f"PICOFLEET_JOB={site.tag}j_one/ setsid sleep 300 >/dev/null 2>&1 </dev/null 3>&- 4>&- 7>&- 8>&- 9>&- &"
    grep = replace_program(
        site,
        "grep",
        f'case $* in *PICOFLEET_JOB=*) mkdir "$HOME/late" 2>/dev/null && {child} ;; esac\nexec {real} "$@"',
    )

    ended = site.start("j_one", TASK).ending()
    grep.unlink()
    assert ended.ending.stop_verified
    assert (site.home / "late").exists()
    assert list(processes_with(f"PICOFLEET_JOB={site.tag}j_one/")) == []


@contextmanager
def few_processes(name: str, most: int) -> Generator[str]:
    """A group of processes that may not become more than that; what joins it, as a command."""
    group = Path("/sys/fs/cgroup/pids") / name
    if not group.parent.is_dir():
        group = Path("/sys/fs/cgroup") / name
    try:
        group.mkdir()
        (group / "pids.max").write_text(f"{most}\n")
    except OSError:
        pytest.skip("the number of processes can't be limited here")
    try:
        yield f'echo $$ >{group}/cgroup.procs && exec "$@"'
    finally:
        # Who is about to exit has no environment any more, but is in the group still.
        left = wait_for_exit(map(int, (group / "cgroup.procs").read_text().split()))
        group.rmdir()
    assert left == []


@pytest.mark.parametrize("shell", ["dash", "busybox"], indirect=True)
def test_a_host_that_can_start_no_more_processes_does_not_say_that_there_is_no_runner(site: Site) -> None:
    """Who takes it for that sends the task to another host, though it may run here."""
    with few_processes(site.tag, 2) as join:
        site.wrapper = ("sh", "-c", join, "host")
        call = site.start("j_one", TASK)
        assert call.words() == []
        assert call.exited() not in (0, 2, 127)
        # As sshd does once the front has exited. Its watch waits for that, where there was room to start one.
        call.hang_up()
    site.wrapper = ()

    assert site.start("j_one", TASK).ending().outcome == "lost"
    assert site.runs == []
