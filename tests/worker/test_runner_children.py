"""What PicoClaw starts ends with the job, in whatever group and session it is."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from tests.worker.site import Site, is_alive, wait_for_exit

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
