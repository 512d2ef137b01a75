"""The ledger against a model of it: whatever processes do to each other and in whichever order, no job is lost."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)
from tests.jobs.scenario import die, end, make_jobs

from picoclaw_fleet.errors import State
from picoclaw_fleet.jobs.ledger import Ledger
from picoclaw_fleet.jobs.model import Job

T = TypeVar("T")

ENDS = [state for state in State if state.finished]


class LedgerMachine(RuleBasedStateMachine):
    """Two or three processes on one file.

    The model: for each job what the ledger has to say of it once everything is written, who holds it, and whether its
    end has been told.
    """

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._loop = asyncio.new_event_loop()
        self._ledgers: list[Ledger] = []
        self._held: dict[str, tuple[Ledger, Job]] = {}
        self._state: dict[str, State] = {}
        self._sent: dict[str, bool] = {}
        self._stop: dict[str, bool] = {}
        self._told: dict[str, bool] = {}
        self._origin: dict[str, Ledger] = {}

    def teardown(self) -> None:
        for ledger in self._ledgers:
            self._do(ledger.aclose())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
        self._folder.cleanup()

    @initialize()
    def two_processes(self) -> None:
        self.start()
        self.start()

    @precondition(lambda self: len(self._ledgers) < 3)
    @rule()
    def start(self) -> None:
        ledger = Ledger(Path(self._folder.name) / "ledger.sqlite")
        self._do(ledger.open())
        self._ledgers.append(ledger)

    @precondition(lambda self: len(self._ledgers) > 1)
    @rule(which=st.integers(0, 2), softly=st.booleans())
    def end_process(self, which: int, softly: bool) -> None:
        ledger = self._ledgers.pop(which % len(self._ledgers))
        # What it has not written when it is killed is forgotten; for the model everything is written before.
        self._do(ledger.committed())
        self._do(ledger.aclose() if softly else die(ledger))
        self._held = {job_id: held for job_id, held in self._held.items() if held[0] is not ledger}

    @rule(target=ids, which=st.integers(0, 2), count=st.integers(1, 3), in_batch=st.booleans())
    def add(self, which: int, count: int, in_batch: bool) -> object:
        ledger = self._pick(which)
        jobs = make_jobs(count, f"b_{len(self._state)}" if in_batch else "")
        self._do(ledger.add(jobs))
        for job in jobs:
            self._held[job.job_id] = (ledger, job)
            self._state[job.job_id] = State.QUEUED
            self._sent[job.job_id] = self._stop[job.job_id] = self._told[job.job_id] = False
            self._origin[job.job_id] = ledger
        return multiple(*(job.job_id for job in jobs))

    @rule(job_id=ids)
    def send(self, job_id: str) -> None:
        if job_id in self._held:
            ledger, job = self._held[job_id]
            job.sent, job.state, job.host = True, State.RUNNING, "ada"
            self._record(ledger, job)
            self._sent[job_id], self._state[job_id] = True, State.RUNNING

    @rule(job_id=ids)
    def take_back(self, job_id: str) -> None:
        if job_id in self._held:
            ledger, job = self._held[job_id]
            job.sent, job.state = False, State.QUEUED
            self._record(ledger, job)
            self._sent[job_id], self._state[job_id] = False, State.QUEUED

    @rule(job_id=ids, state=st.sampled_from(ENDS))
    def finish(self, job_id: str, state: State) -> None:
        if job_id in self._held:
            ledger, job = self._held.pop(job_id)
            self._record(ledger, end(job, state))
            self._state[job_id] = state

    @rule(job_id=ids)
    def release(self, job_id: str) -> None:
        if job_id in self._held:
            ledger, job = self._held.pop(job_id)
            self._do(_release(ledger, job))

    @rule(which=st.integers(0, 2), sent=st.booleans())
    def take_over(self, which: int, sent: bool) -> None:
        self._write_everything()
        ledger = self._pick(which)
        expected = {
            job_id
            for job_id, state in self._state.items()
            if not state.finished and job_id not in self._held and self._sent[job_id] is sent
        }
        orphans = self._do(ledger.orphans(sent=sent))
        assert {job.job_id for job in orphans} == expected
        taken = self._do(ledger.take_over(orphans))
        assert {job.job_id for job in taken} == expected
        self._held |= {job.job_id: (ledger, job) for job in taken}

    @rule(which=st.integers(0, 2), job_id=ids)
    def want_stop(self, which: int, job_id: str) -> None:
        if job_id in self._state:
            self._do(self._pick(which).want_stop([Job("", (), 0, job_id=job_id)]))
            self._stop[job_id] = True

    @rule(which=st.integers(0, 2))
    def hear_news(self, which: int) -> None:
        self._write_everything()
        ledger = self._pick(which)
        expected = {
            job_id
            for job_id, state in self._state.items()
            if state.finished
            and not self._told[job_id]
            and (self._origin[job_id] is ledger or self._origin[job_id] not in self._ledgers)
        }
        news = self._do(ledger.news(""))
        assert sorted(job.job_id for job in news) == sorted(expected)
        self._told |= dict.fromkeys(expected, True)

    @rule(job_id=consumes(ids), which=st.integers(0, 2))
    def remove(self, job_id: str, which: int) -> None:
        if job_id in self._state and self._state[job_id].finished:
            self._write_everything()
            self._do(self._pick(which).remove([job_id]))
            for facts in (self._state, self._sent, self._stop, self._told, self._origin):
                del facts[job_id]

    @invariant()
    def every_process_sees_the_same(self) -> None:
        self._write_everything()
        for ledger in self._ledgers:
            jobs, total = self._do(ledger.page(limit=1000))
            seen = {job.job_id: job for job in jobs}
            assert total == len(jobs)
            assert {job_id: job.state for job_id, job in seen.items()} == self._state
            assert {job_id: job.sent for job_id, job in seen.items()} == self._sent
            assert {job_id for job_id in seen if ledger.holds(seen[job_id])} == {
                job_id for job_id, (holder, _) in self._held.items() if holder is ledger
            }
            wanted = {job.job_id for job in self._do(ledger.stops_wanted())}
            assert wanted == {
                job_id
                for job_id, (holder, job) in self._held.items()
                if holder is ledger and self._stop[job_id] and not job.stop_wanted
            }

    @rule(which=st.integers(0, 2), job_id=ids)
    def count(self, which: int, job_id: str) -> None:
        if job_id in self._state:
            left = self._do(self._pick(which).count_unfinished(job_id))
            assert left == (0 if self._state[job_id].finished else 1)

    def _write_everything(self) -> None:
        for ledger in self._ledgers:
            self._do(ledger.committed())

    def _record(self, ledger: Ledger, job: Job) -> None:
        self._do(_record(ledger, job))

    def _pick(self, which: int) -> Ledger:
        return self._ledgers[which % len(self._ledgers)]

    def _do(self, work: Awaitable[T]) -> T:
        async def run() -> T:
            return await work

        return self._loop.run_until_complete(run())


async def _record(ledger: Ledger, job: Job) -> None:
    ledger.record(job)


async def _release(ledger: Ledger, job: Job) -> None:
    ledger.release(job)


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
