"""The ledger: what several processes see of one file, and what happens when it can't be used."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.jobs.opening_child import open_each
from tests.jobs.scenario import die, end, make_jobs, process

from picoclaw_fleet.errors import LedgerError, Reason, State, UsageError
from picoclaw_fleet.jobs.ledger import Ledger
from picoclaw_fleet.jobs.model import Job

SECONDS = 10
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["picoclaw_fleet.fleet"])
FIELDS = tuple(field for field in Job.__slots__)


@pytest.fixture
async def other(tmp_path: Path, ledger: Ledger) -> AsyncIterator[Ledger]:
    """Another process on the same file."""
    async with process(tmp_path) as other:
        yield other


def _file(folder: Path) -> Path:
    return folder / "ledger.sqlite"


async def test_what_is_recorded_is_there_for_the_next_process(tmp_path: Path) -> None:
    async with process(tmp_path) as first:
        (job,) = make_jobs(1, "b_1")
        await first.add([job])
        job.host, job.address, job.sent, job.files, job.notes = "ada", "me@ada:22", True, ("a", "b c"), ("odd",)
        job.started_at, job.duration_seconds, job.exit_code, job.signal = datetime.now(UTC), 1.5, 7, "SIGTERM"
        end(job, State.FAILED).reason = Reason.EXIT_CODE
        first.record(job)
    async with process(tmp_path) as second:
        again = await second.job(job.job_id)
        assert again is not job
        assert {field: getattr(again, field) for field in FIELDS} == {field: getattr(job, field) for field in FIELDS}


async def test_jobs_held_here_are_the_very_objects(ledger: Ledger) -> None:
    jobs = make_jobs(3, "b_1")
    await ledger.add(jobs)
    assert await ledger.job(jobs[0].job_id) is jobs[0]
    assert await ledger.unfinished("b_1") == jobs
    page, total = await ledger.page()
    assert (page, total) == (jobs[::-1], 3)


async def test_a_batch_is_taken_in_whole_or_not_at_all(ledger: Ledger) -> None:
    first, second = make_jobs(2, "b_1")
    second.job_id = first.job_id
    with pytest.raises(LedgerError):
        await ledger.add([first, second])
    with pytest.raises(UsageError, match="no batch"):
        await ledger.counts("b_1")


async def test_many_changes_are_written_in_few_transactions(tmp_path: Path, ledger: Ledger) -> None:
    jobs = make_jobs(500, "b_1")
    await ledger.add(jobs)
    observer = sqlite3.connect(_file(tmp_path))
    versions: set[int] = set()
    for job in jobs:
        ledger.record(end(job))
        versions.add(observer.execute("PRAGMA data_version").fetchone()[0])
        await anyio.lowlevel.checkpoint()
    await ledger.committed()
    versions.add(observer.execute("PRAGMA data_version").fetchone()[0])
    assert (await ledger.counts("b_1")) == {State.SUCCEEDED: 500}
    assert len(versions) < 100
    observer.close()


async def test_who_reads_does_not_wait_for_what_others_go_on_recording(ledger: Ledger) -> None:
    (job,) = make_jobs(1, "b_1")
    await ledger.add([job])

    async def record_all_the_time() -> None:
        while True:
            ledger.record(job)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(record_all_the_time)
        await anyio.lowlevel.checkpoint()
        with anyio.fail_after(SECONDS):
            assert (await ledger.page())[1] == 1
        tasks.cancel_scope.cancel()


async def test_exactly_one_of_many_processes_takes_an_orphan_over(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        dead = Ledger(_file(tmp_path))
        await dead.open()
        jobs = make_jobs(40, "b_1")
        await dead.add(jobs)
        alive = [await stack.enter_async_context(process(tmp_path)) for _ in range(6)]
        assert not await alive[0].orphans(sent=False)
        await die(dead)
        got: list[list[Job]] = []

        async def grab(ledger: Ledger) -> None:
            got.append(await ledger.take_over(await ledger.orphans(sent=False)))

        async with anyio.create_task_group() as tasks:
            for ledger in alive:
                tasks.start_soon(grab, ledger)
        taken = [job.job_id for share in got for job in share]
        assert sorted(taken) == sorted(job.job_id for job in jobs)
        assert not await alive[0].orphans(sent=False)


async def test_a_finished_job_is_nobody_s_to_take(tmp_path: Path, other: Ledger) -> None:
    dead = Ledger(_file(tmp_path))
    await dead.open()
    (job,) = make_jobs()
    await dead.add([job])
    await die(dead)
    seen_before = await other.orphans(sent=False)
    (taken,) = await other.take_over(await other.orphans(sent=False))
    other.record(end(taken))
    await other.committed()
    assert not await other.take_over(seen_before)


def _clear_out_locks(folder: Path) -> None:
    for lock in folder.glob("*.holders/*.lock"):
        lock.unlink()


async def test_who_has_lost_a_job_does_not_write_over_the_one_who_has_it(tmp_path: Path, ledger: Ledger) -> None:
    (job,) = make_jobs()
    await ledger.add([job])
    # Somebody clears out the lock files: to all others this process is dead now.
    _clear_out_locks(tmp_path)
    async with process(tmp_path) as other:
        (taken,) = await other.take_over(await other.orphans(sent=False))
        other.record(end(taken))
        await other.committed()
        job.state = State.RUNNING
        ledger.record(job)
        await ledger.committed()
        assert (await other.job(job.job_id)).state is State.SUCCEEDED


async def test_what_was_read_earlier_is_seen_as_it_is_now(ledger: Ledger, other: Ledger) -> None:
    await ledger.add(make_jobs(3, "b_1"))
    ended, forgotten, queued = await other.unfinished("b_1")
    for job in await ledger.unfinished("b_1"):
        if job.job_id != queued.job_id:
            ledger.record(end(job))
    await ledger.committed()
    await ledger.remove([forgotten.job_id])

    now = await other.latest([ended, forgotten, queued])

    assert [(job.job_id, job.state) for job in now] == [
        (ended.job_id, State.SUCCEEDED),
        (queued.job_id, State.QUEUED),
    ]
    assert (await ledger.latest([queued]))[0] is await ledger.job(queued.job_id)


async def test_a_released_job_is_an_orphan_for_everybody(ledger: Ledger, other: Ledger) -> None:
    first, second = make_jobs(2, "b_1")
    await ledger.add([first, second])
    ledger.release(first)
    assert not ledger.holds(first)
    assert await ledger.count_unfinished("b_1") >= 1
    await ledger.committed()
    (taken,) = await other.take_over(await other.orphans(sent=False, scope="b_1"))
    assert taken.job_id == first.job_id
    ledger.record(end(second))
    assert await ledger.count_unfinished("b_1") == 1
    other.record(end(taken))
    await other.committed()
    assert await ledger.count_unfinished("b_1") == 0


async def test_a_wish_to_stop_is_not_overwritten_by_the_holder(ledger: Ledger, other: Ledger) -> None:
    (job,) = make_jobs()
    await ledger.add([job])
    await other.want_stop([job])
    job.message = "something else has changed"
    ledger.record(job)
    await ledger.committed()
    assert (await other.job(job.job_id)).stop_wanted
    assert await ledger.stops_wanted() == [job]
    job.stop_wanted = True
    assert await ledger.stops_wanted() == []


async def test_orphans_can_be_narrowed_down(tmp_path: Path, ledger: Ledger) -> None:
    dead = Ledger(_file(tmp_path))
    await dead.open()
    sent, waiting, unwanted, old = jobs = make_jobs(4, "b_1")
    sent.sent, unwanted.stop_wanted, old.batch_id = True, True, ""
    old.created_at -= timedelta(days=2)
    await dead.add(jobs)
    await die(dead)

    async def ids(**narrower: object) -> set[str]:
        return {job.job_id for job in await ledger.orphans(**narrower)}  # pyright: ignore[reportArgumentType]

    assert await ids(sent=True) == {sent.job_id}
    assert await ids(sent=False) == {waiting.job_id, unwanted.job_id, old.job_id}
    assert await ids(sent=False, to_stop=True) == {unwanted.job_id}
    assert await ids(sent=False, scope="b_1") == {waiting.job_id, unwanted.job_id}
    assert await ids(sent=False, scope=old.job_id) == {old.job_id}
    assert await ids(sent=False, before=datetime.now(UTC) - timedelta(days=1)) == {old.job_id}


async def test_what_has_ended_is_news_once_whoever_asks(tmp_path: Path) -> None:
    dead = Ledger(_file(tmp_path))
    await dead.open()
    jobs = make_jobs(30)
    await dead.add(jobs)
    for job in jobs:
        dead.record(end(job))
    await dead.committed()
    async with process(tmp_path) as one, process(tmp_path) as two:
        assert await one.news("") == []
        await die(dead)
        heard: list[str] = []

        async def ask(ledger: Ledger) -> None:
            heard.extend([job.job_id for job in await ledger.news("")])

        async with anyio.create_task_group() as tasks:
            for ledger in (one, two) * 4:
                tasks.start_soon(ask, ledger)
        assert sorted(heard) == sorted(job.job_id for job in jobs)


async def test_what_a_caller_has_seen_is_no_news(ledger: Ledger, other: Ledger) -> None:
    seen, unseen, _ = jobs = make_jobs(3, "b_1")
    await ledger.add(jobs)
    ledger.record(end(seen))
    await ledger.note_told(seen.job_id)
    ledger.record(end(unseen))
    assert [job.job_id for job in await ledger.news("")] == [unseen.job_id]
    assert await ledger.news("") == []
    assert await other.news("") == []


async def test_jobs_are_listed_in_pages_and_by_what_they_are(ledger: Ledger) -> None:
    jobs = make_jobs(5, "b_1") + make_jobs(2)
    await ledger.add(jobs)
    jobs[0].host = "ada"
    ledger.record(end(jobs[0]))
    newest_first = [job.job_id for job in reversed(jobs)]

    async def page(**wanted: object) -> tuple[list[str], int]:
        found, total = await ledger.page(**wanted)  # pyright: ignore[reportArgumentType]
        return [job.job_id for job in found], total

    assert await page() == (newest_first, 7)
    assert await page(limit=3) == (newest_first[:3], 7)
    assert await page(limit=3, offset=6) == (newest_first[6:], 7)
    assert await page(offset=7) == await page(offset=1 << 100) == ([], 7)
    assert await page(batch_id="b_1") == (newest_first[2:], 5)
    assert await page(state="succeeded") == ([jobs[0].job_id], 1)
    assert await page(host="ada", batch_id="b_1") == ([jobs[0].job_id], 1)
    assert await page(host="nobody") == ([], 0)
    assert await page(batch_id="' OR 1 --") == ([], 0)


async def test_failures_come_first_in_a_batch(ledger: Ledger) -> None:
    jobs = make_jobs(6, "b_1")
    await ledger.add(jobs)
    for job, state in zip(jobs, (State.SUCCEEDED, State.LOST, State.CANCELLED, State.FAILED), strict=False):
        ledger.record(end(job, state))
    jobs[5].state = State.RUNNING
    ledger.record(jobs[5])
    first = [job.job_id for job in await ledger.trouble_first("b_1", 5)]
    assert first == [jobs[number].job_id for number in (1, 3, 2, 5, 4)]
    assert [job.job_id for job in await ledger.unsuccessful("b_1")] == [jobs[number].job_id for number in (1, 2, 3)]


async def test_removed_jobs_are_gone_and_the_others_keep_their_choice_of_hosts(ledger: Ledger) -> None:
    old, young = make_jobs(1, hosts=("ada",)) + make_jobs(1, hosts=("bob", "cyd"))
    await ledger.add([old, young])
    ledger.record(end(old))
    ledger.record(end(young))
    await ledger.remove([old.job_id])
    with pytest.raises(UsageError, match="no job"):
        await ledger.job(old.job_id)
    assert (await ledger.job(young.job_id)).hosts == ("bob", "cyd")


async def test_several_processes_may_make_the_file_at_once(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        ledgers = [Ledger(_file(tmp_path)) for _ in range(8)]
        async with anyio.create_task_group() as tasks:
            for ledger in ledgers:
                tasks.start_soon(ledger.open)
        for ledger in ledgers:
            stack.push_async_callback(ledger.aclose)
        for ledger in ledgers:
            await ledger.add(make_jobs(2))
        assert (await ledgers[0].page())[1] == 16
    assert _file(tmp_path).stat().st_mode & 0o777 == 0o600


def test_of_many_who_make_the_file_at_once_none_is_refused(tmp_path: Path) -> None:
    together = FORKS.Barrier(4)
    hear, said = FORKS.Pipe(duplex=False)
    files = [_file(tmp_path / str(number)) for number in range(10)]
    children = [FORKS.Process(target=open_each, args=(files, together, said)) for _ in range(together.parties)]
    for child in children:
        child.start()
    assert [hear.recv() for _ in children] == [[]] * len(children)
    for child in children:
        child.join()


def _overwrite_beginning(file: Path) -> None:
    file.write_bytes(b"not a database at all".ljust(8192, b"!"))


def _overwrite_middle(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(4096)
        opened.write(os.urandom(file.stat().st_size - 4096))


@pytest.mark.parametrize("damage", [_overwrite_beginning, _overwrite_middle])
async def test_a_damaged_file_is_an_error_and_is_left_as_it_is(tmp_path: Path, damage: object) -> None:
    async with process(tmp_path) as ledger:
        await ledger.add(make_jobs(200))
    assert callable(damage)
    damage(_file(tmp_path))
    before = _file(tmp_path).read_bytes()
    broken = Ledger(_file(tmp_path))
    with pytest.raises(LedgerError, match="can't be used"):
        await broken.open()
        await broken.page()
    await broken.aclose()
    assert _file(tmp_path).read_bytes() == before


async def test_a_file_of_a_newer_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    async with process(tmp_path):
        pass
    with sqlite3.connect(_file(tmp_path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = _file(tmp_path).read_bytes()
    with pytest.raises(LedgerError, match="version 99"):
        await Ledger(_file(tmp_path)).open()
    assert _file(tmp_path).read_bytes() == before


async def test_a_folder_that_can_t_be_written_to_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    with pytest.raises(
        LedgerError, match=r"state/ledger.sqlite can't be used: (File exists|Not a directory)\."
    ) as caught:
        await Ledger(tmp_path / "state/ledger.sqlite").open()
    assert "PICOCLAW_FLEET_STATE_DIR" in caught.value.next_step
    assert "damaged" not in str(caught.value)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    if os.getuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


async def test_a_read_only_folder_is_a_clear_error(small_disk: Path) -> None:
    await anyio.run_process(["mount", "-o", "remount,ro", str(small_disk)])
    with pytest.raises(LedgerError, match="can't be used"):
        await Ledger(_file(small_disk)).open()


async def test_on_a_full_disk_nothing_is_lost_and_it_goes_on_when_there_is_space(small_disk: Path) -> None:
    async with process(small_disk) as ledger:
        jobs = make_jobs(20, "b_1")
        await ledger.add(jobs)
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(bytes(4096))
        for job in jobs:
            job.message = "x" * 4000
            ledger.record(end(job))
        with pytest.raises(LedgerError, match="full"):
            await ledger.committed()
        with pytest.raises(LedgerError, match="Free some space"):
            await ledger.add([Job("y" * 100_000, ("ada",), 60)])
        ballast.unlink()
        await ledger.committed()
        assert await ledger.counts("b_1") == {State.SUCCEEDED: 20}
        assert (await ledger.page())[1] == 20


async def test_a_ledger_that_could_not_be_written_again_and_again_is_closed_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    call_later, retries = loop.call_later, list[asyncio.TimerHandle]()

    def noted(delay: float, callback: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
        retries.append(call_later(delay, callback, *args))
        return retries[-1]

    monkeypatch.setattr(loop, "call_later", noted)
    ledger = Ledger(_file(tmp_path))
    await ledger.open()
    jobs = make_jobs(2)
    await ledger.add(jobs)
    with closing(sqlite3.connect(_file(tmp_path))) as other, other:
        other.execute("DROP TABLE jobs")
    for job in jobs:
        ledger.record(job)
        with pytest.raises(LedgerError, match="no such table"):
            await ledger.committed()
    await ledger.aclose()
    assert [retry.cancelled() for retry in retries] == [True] * 3
