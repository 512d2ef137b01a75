"""What PicoClaw starts ends with the job, in whatever group and session it is."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.servers import required
from tests.worker.site import Site, command_of, is_alive, wait_for_exit

TASK = "count to ten"
LONG = "echo >$HOME/up; exec sleep 300"


def children(site: Site) -> list[int]:
    return [int(pid) for pid in (site.home / "pids").read_text().split()]


@contextmanager
def stranger(site: Site) -> Generator[int]:
    """A process of the same user that is no part of any job."""
    pid = os.posix_spawn("/bin/sleep", ["sleep", "300"], {"PICOFLEET_JOBS": f"{site.tag}j_one/"})
    try:
        yield pid
        assert is_alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.parametrize("version", ["0.1.2", "0.2.9"])
@pytest.mark.parametrize("pty", [False, True], ids=["group", "session"])
def test_children_in_groups_and_sessions_of_their_own_are_stopped(site: Site, version: str, pty: bool) -> None:
    site.version = version
    site.reinstall()
    site.knobs(exec=[LONG, LONG], background=True, slow=60, pids="pids", pty=pty)
    with stranger(site):
        call = site.start("j_one", TASK)
        site.is_up(2)
        pids = children(site)
        assert all(map(is_alive, pids))

        assert site.stop("j_one").ending().ending.stop_verified

        assert not any(map(is_alive, pids))
        assert call.ending().outcome == "cancelled"


def test_a_background_child_does_not_survive_success(site: Site) -> None:
    site.knobs(exec=[LONG, "sleep 300 & wait"], background=True, pty=True, pids="pids")

    ended = site.start("j_one", TASK).ending()

    assert (ended.outcome, ended.ending.exit_status, ended.ending.stop_verified) == ("exit", 0, True)
    assert ended.answer == f"done: {TASK}"
    assert not any(map(is_alive, children(site)))


def test_a_child_that_does_not_heed_the_word_is_killed(site: Site) -> None:
    site.knobs(
        exec="trap '' TERM HUP; echo >$HOME/up; while :; do sleep 300; done", background=True, slow=60, pids="pids"
    )
    call = site.start("j_one", TASK)
    site.is_up()

    assert site.stop("j_one").ending().ending.stop_verified
    assert not any(map(is_alive, children(site)))
    assert call.ending().outcome == "cancelled"


@pytest.mark.parametrize("end", ["success", "stop"])
def test_a_child_without_environment_in_picoclaws_session_is_stopped(site: Site, end: str) -> None:
    wiped = f"env -i sh -c 'echo >{site.home}/up; exec sleep 300'"
    site.knobs(exec=wiped, background=True, slow=0 if end == "success" else 60, pids="pids")
    call = site.start("j_one", TASK)
    site.is_up()
    if end == "stop":
        site.stop("j_one").ending()

    assert call.ending().ending.stop_verified
    assert not any(map(is_alive, children(site)))


@pytest.mark.parametrize("shell", ["dash"], indirect=True)
def test_where_pids_may_have_begun_again_every_process_is_looked_at(site: Site) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    pid_max = site.folder / "pid_max"
    pid_max.write_text("another-boot 4194304\n")
    site.knobs(exec=LONG, background=True, pty=True, pids="pids")
    assert site.start("j_one", TASK).ending().ending.stop_verified
    assert pid_max.read_text().split() == [boot, Path("/proc/sys/kernel/pid_max").read_text().strip()]
    pid_max.write_text(f"{boot} 1\n")
    assert site.start("j_two", TASK).ending().ending.stop_verified
    assert not any(map(is_alive, children(site)))


@contextmanager
def own_pids(site: Site) -> Generator[None]:
    """Calls of the runner come from a machine with few processes, where pids have only just begun."""
    unshare = [required("unshare"), "--pid", "--fork", "--mount-proc", "--kill-child"]
    with subprocess.Popen([*unshare, "sh", "-c", "echo; exec sleep 300"], stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        first = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().strip()
        enter = (required("nsenter"), "--target", first, "--pid", "--mount")
        site.wrapper = (*enter, "sh", "-c", 'cd && exec "$@"', "host")
        try:
            yield
        finally:
            site.wrapper = ()
            process.kill()


@pytest.mark.skipif(os.getuid() != 0 and not os.environ.get("CI"), reason="only root makes a PID namespace")
@pytest.mark.parametrize("pty", [False, True], ids=["without environment", "session"])
def test_where_only_new_processes_are_looked_at_none_is_left(site: Site, pty: bool) -> None:
    sleep = f"sleep 300{random.randrange(10**6)}"
    begun = site.home / "begun"
    os.mkfifo(begun)
    child = f"{'' if pty else 'env -i '}sh -c 'echo >{begun}; exec {sleep}' >/dev/null 2>&1 </dev/null"
    with own_pids(site):
        site.knobs(exec=f"{child} & read -r _ <{begun}", pty=pty)
        assert site.start("j_one", TASK).ending().ending.stop_verified
        assert not [entry for entry in Path("/proc").glob("[0-9]*") if command_of(int(entry.name)).strip() == sleep]


def test_a_child_that_has_left_both_environment_and_session_escapes(site: Site) -> None:
    """The known limit: docs/security names it."""
    site.knobs(clean_env_child=300, pids="pids")

    ended = site.start("j_one", TASK).ending()

    [escaped] = children(site)
    assert is_alive(escaped)
    assert ended.ending.stop_verified
    os.kill(escaped, signal.SIGKILL)
    assert wait_for_exit([escaped]) == []


def test_stopping_touches_neither_the_shell_of_the_caller_nor_other_jobs(site: Site) -> None:
    """All calls in one session, as they are behind Dropbear."""
    site.wrapper = ("sh", "-c", '"$@"; wait', "session")
    site.busy(60)
    first, second = site.start("j_one", TASK), site.start("j_two", TASK)
    site.is_up(2)

    assert site.stop("j_one").ending().outcome == "cancelled"
    assert first.ending().outcome == "cancelled"
    assert is_alive(site.processes("j_two").runner)
    assert site.stop("j_two").ending().outcome == "cancelled"
    assert second.ending().outcome == "cancelled"
