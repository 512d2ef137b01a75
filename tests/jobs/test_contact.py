"""A job whose host can't be made out: what was asked of it, and what is known here, do not go apart."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest
from tests.embedded_fleet import EmbeddedFleet
from tests.faults.link import Link
from tests.jobs.scenario import SECONDS, controller, until
from tests.lying_host import add_lying_host

from picoclaw_fleet.fleet import Fleet
from picoclaw_fleet.results import JobResult

STARTED = 'echo "$nonce started 1 2"; '
CANCELLED = 'echo "$nonce ended cancelled - - stopped 1 2 3 - 512 0 0 0 0"; '


@asynccontextmanager
async def _behind_a_link(folder: Path, runner: str) -> AsyncGenerator[tuple[Fleet, Link, Path]]:
    """A fleet of one host with a runner of its own mind; a link to it; and its home."""
    async with EmbeddedFleet(folder) as hosts:
        await add_lying_host(hosts, "odd", runner=runner)
        home = hosts.hosts["odd"].home
        async with Link("127.0.0.1", hosts.hosts["odd"].port) as link:
            hosts.entries[0]["port"] = link.port
            hosts.write_config()
            async with controller(hosts) as fleet:
                await fleet.status()
                yield fleet, link, home


async def test_a_stop_that_comes_while_the_start_is_on_its_way_is_no_contradiction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = f"""echo $verb >>"$HOME/verbs"; case $verb in
    start) {STARTED} until [ -e "$HOME/stopped" ]; do sleep 0.05; done; {CANCELLED} ;;
    stop) : >"$HOME/stopped"; {CANCELLED} ;; esac"""
    monkeypatch.setattr("picoclaw_fleet.fleet.CANCEL_SECONDS", 0)
    async with _behind_a_link(tmp_path / "fleet", runner) as (fleet, link, home):
        link.hold_after(1)
        job = await fleet.dispatch("x", wait_seconds=0)
        await link.exhausted.wait()
        await fleet.cancel(job.job_id)
        link.flow()
        assert (await _end(fleet, job.job_id)).state == "cancelled"
    assert sorted((home / "verbs").read_text().split()) == ["start", "stop"]


async def test_who_waits_for_a_job_hears_how_it_ended_though_it_was_left_to_others_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("picoclaw_fleet.jobs.board._FIRST_FULL_SECONDS", 2)
    # The first start is lost, so the job may be there; then it is refused until the link is gone.
    runner = f"""case $verb in
    start) if [ -e "$HOME/lost" ]; then echo "$nonce no_slot"; : >"$HOME/refused"; else : >"$HOME/lost"; exit 9; fi ;;
    *) {STARTED} {CANCELLED} ;; esac"""
    async with _behind_a_link(tmp_path / "fleet", runner) as (fleet, link, home):
        results: list[JobResult] = []

        async def dispatch() -> None:
            results.append(await fleet.dispatch("x"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dispatch)
            await until(anyio.Path(home / "refused").exists)
            await until(partial(_is_queued_again, fleet))
            link.refuse()
            link.reset()
            await until(partial(_is_left, fleet))
            link.flow()
        assert [result.state for result in results] == ["cancelled"]


async def _is_queued_again(fleet: Fleet) -> bool:
    (job,) = (await fleet.jobs()).jobs
    return job.message is None


async def _is_left(fleet: Fleet) -> bool:
    """Whether the only job has been taken over by who could not reach its host."""
    (job,) = (await fleet.jobs()).jobs
    return "closed the connection" in str(job.message) and "may have come there" in str(job.message)


async def _end(fleet: Fleet, job_id: str) -> JobResult:
    result = await fleet.result(job_id, wait_seconds=SECONDS)
    assert isinstance(result, JobResult)
    return result
