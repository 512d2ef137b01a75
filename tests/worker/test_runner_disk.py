"""Full disks, homes that can't be written to, and output without end."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest
from tests.worker.site import DEADLINE, SECONDS, Shell, Site

from picoclaw_fleet.errors import Reason, State
from picoclaw_fleet.worker.verdict import judge

TASK = "count to ten"
ROOT = os.getuid() == 0

only_root = pytest.mark.skipif(not ROOT and not os.environ.get("CI"), reason="only root mounts a small disk")


@contextmanager
def mounted(place: Path, *options: str) -> Generator[None]:
    subprocess.run(["mount", *options, place], check=True, timeout=SECONDS)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True, timeout=SECONDS)


@contextmanager
def read_only(folder: Path) -> Generator[None]:
    """Root may write in spite of any mode, but not where the disk is read-only."""
    if ROOT:
        with mounted(folder, "--bind", str(folder)):
            subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True, timeout=SECONDS)
            yield
    else:
        (folder / "jobs").chmod(0o500)
        yield
        (folder / "jobs").chmod(0o700)


@pytest.fixture
def small_site(tmp_path: Path, shell: Shell) -> Iterator[Site]:
    """A home on a disk of its own, of 1 MB."""
    home = tmp_path / "home"
    home.mkdir()
    with mounted(home, "-t", "tmpfs", "-o", "size=1m", "none"):
        site = Site(home, shell)
        (home / "runs").touch()
        yield site
        site.close()


def fill(site: Site, but: int = 0) -> None:
    """Leaves that many bytes free."""
    with (site.home / "ballast").open("ab", buffering=0) as ballast:
        while (free := os.statvfs(site.home).f_bavail * os.statvfs(site.home).f_frsize - but) > 0:
            ballast.write(b"x" * free)


@only_root
def test_on_a_full_disk_nothing_starts_and_the_id_stays_free(small_site: Site) -> None:
    fill(small_site)

    assert small_site.start("j_one", TASK).words() == ["disk_full"]
    assert not small_site.job("j_one").exists()
    assert small_site.running == []

    (small_site.home / "ballast").unlink()
    assert small_site.start("j_one", TASK).ending().outcome == "exit"


@only_root
@pytest.mark.parametrize("left", [4, 8, 12, 16, 20, 24])
@pytest.mark.parametrize("shell", ["dash"], indirect=True)
def test_however_little_is_free_the_truth_is_told(small_site: Site, left: int) -> None:
    """Pages of a small disk run out at another step each time."""
    small_site.knobs(stdout_bytes="x" * 300_000)
    fill(small_site, but=left << 10)

    call = small_site.start("j_one", TASK)
    words = call.words()
    if words == ["disk_full"]:
        assert not small_site.job("j_one").exists()
        return
    assert words[0] == "started"
    assert judge(call.ending().ending, "", None).reason is Reason.DISK_FULL


@only_root
@pytest.mark.parametrize("end", ["exit", "timed_out", "cancelled"])
def test_a_disk_that_fills_up_meanwhile_does_not_hide_how_the_job_ended(small_site: Site, end: str) -> None:
    small_site.busy(60 if end != "exit" else 0, stdout_bytes="x" * 500_000)
    call = small_site.start("j_one", TASK, seconds=DEADLINE if end == "timed_out" else 60)
    small_site.is_up()
    if end == "exit":
        ended = call.ending()
        assert judge(ended.ending, "", None).reason is Reason.DISK_FULL
    else:
        fill(small_site)
        if end == "cancelled":
            small_site.stop("j_one")
        ended = call.ending()
        assert ended.ending.disk_full
    assert (ended.outcome, ended.ending.stop_verified) == (end, True)
    assert ended.ending.ended >= ended.ending.started > 0


@pytest.fixture
def few_files(tmp_path: Path, shell: Shell) -> Iterator[Site]:
    """A home on a disk of its own, with room for 200 files."""
    home = tmp_path / "home"
    home.mkdir()
    with mounted(home, "-t", "tmpfs", "-o", "size=4m,nr_inodes=200", "none"):
        site = Site(home, shell)
        yield site
        site.close()


def use_up_files(site: Site) -> None:
    with suppress(OSError):
        for number in count():
            (site.home / f"file-{number}").touch()


@only_root
@pytest.mark.parametrize("end", ["exit", "cancelled", "killed"])
def test_where_no_more_files_can_be_made_it_is_known_how_a_job_ended(few_files: Site, end: str) -> None:
    few_files.busy(60)
    call = few_files.start("j_one", TASK)
    few_files.is_up()
    processes = few_files.processes("j_one")
    use_up_files(few_files)
    if end == "cancelled":
        few_files.stop("j_one")
    else:
        os.kill(processes.picoclaw if end == "exit" else processes.runner, signal.SIGKILL)

    ended = call.ending()
    assert (ended.outcome, ended.ending.stop_verified) == (end, True)
    again = few_files.wait("j_one").ending()
    assert (again.outcome, again.ending.ended) == (end, ended.ending.ended)


@only_root
def test_a_job_whose_end_can_not_be_noted_is_lost_and_not_refused(few_files: Site) -> None:
    """Who is told that it was refused gives it to another host, where it runs again."""
    few_files.busy(60)
    call = few_files.start("j_one", TASK)
    few_files.is_up()
    for reserve in few_files.job("j_one").glob("reserve.*"):
        reserve.unlink()
    use_up_files(few_files)
    os.kill(few_files.processes("j_one").picoclaw, signal.SIGKILL)

    assert call.ending().outcome == "lost"
    assert few_files.job("j_one").exists()
    for file in few_files.home.glob("file-*"):
        file.unlink()
    assert few_files.wait("j_one").ending().outcome == "lost"


def test_a_home_that_can_not_be_written_to_is_told(site: Site) -> None:
    with read_only(site.folder):
        for call in (site.start("j_one", TASK), site.stop("j_one")):
            assert call.words() == ["home_not_writable"]
            call.exited()
    assert site.start("j_one", TASK).ending().outcome == "exit"


def test_output_without_end_is_cut_at_the_limit(site: Site) -> None:
    site.knobs(stdout_bytes="x" * 300_000)

    ended = site.start("j_one", TASK, limit=64 << 10).ending()

    assert len(ended.out) == 64 << 10
    verdict = judge(ended.ending, "", None)
    assert (verdict.state, verdict.reason) == (State.FAILED, Reason.TOO_LARGE)


def test_output_up_to_the_limit_is_whole(site: Site) -> None:
    site.knobs(stdout_bytes=b"\n\xf0\x9f\xa6\x9e " + b"y" * 60_000, stderr_bytes=b"e" * 60_000)

    ended = site.start("j_one", TASK, limit=64 << 10).ending()

    assert ended.answer == "y" * 60_000
    assert ended.err.endswith(b"e" * 60_000)
    assert judge(ended.ending, ended.answer, None).state is State.SUCCEEDED
