"""What placement goes by, against a model: a host's room, its burden, and how long it is left alone."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.servers import NOBODY

from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.jobs import board
from picoclaw_fleet.jobs.board import FRESH_SECONDS, Board, HostView
from picoclaw_fleet.transport import Pool
from picoclaw_fleet.worker.probe import Facts, PicoclawState

HOST = replace(NOBODY, name="ada")
LONGEST_PAUSE = 300.0
LONGEST_FULL = 10.0


class PlacementMachine(RuleBasedStateMachine):
    """One host as one process knows it, while time passes, jobs come and go, contact fails and the config is edited."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 1000.0
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(board, "time", SimpleNamespace(monotonic=lambda: self._now))
        self._board = Board(Pool())
        self._host = HOST
        self._earlier = [HOST]
        self._jobs: list[tuple[str, HostView]] = []
        self._failures = 0
        self._paused_until = self._full_until = 0.0
        self._facts: Facts | None = None

    def teardown(self) -> None:
        self._patch.undo()

    @property
    def _view(self) -> HostView:
        return self._board.view(self._host)

    @rule(seconds=st.floats(0.01, 400))
    def time_passes(self, seconds: float) -> None:
        self._now += seconds

    @rule(job_id=st.integers())
    def a_job_goes_there(self, job_id: int) -> None:
        if self._view.free > 0 and str(job_id) not in dict(self._jobs):
            self._view.jobs.add(str(job_id))
            self._jobs.append((str(job_id), self._view))

    @rule(which=st.integers(0, 100))
    def a_job_ends(self, which: int) -> None:
        if self._jobs:
            # Whoever carries the job out has the view of the day when it began.
            job_id, view = self._jobs.pop(which % len(self._jobs))
            view.jobs.discard(job_id)

    @rule()
    def contact_fails(self) -> None:
        before = self._paused_until
        self._view.note_failure(HostError("is down.", host="ada", reason=Reason.UNREACHABLE))
        self._failures += 1
        self._paused_until = self._view.left_alone_until
        assert self._now < self._paused_until <= self._now + LONGEST_PAUSE
        if self._failures > 1 and before > self._now:
            assert self._paused_until > before or self._paused_until == self._now + LONGEST_PAUSE

    @rule(total=st.sampled_from((None, 64, 255, 256, 8000)), running=st.integers(0, 9), load=st.floats(0, 50))
    def a_probe_comes_back(self, total: int | None, running: int, load: float) -> None:
        self._facts = Facts(
            name="ada",
            boot_id="-",
            load=load,
            memory_total_mb=total,
            running=running,
            cpus=4,
            picoclaw=PicoclawState.READY,
            taken_at=self._now,
        )
        self._view.note_contact(self._facts)
        self._failures, self._paused_until = 0, 0.0

    @rule()
    def it_is_full(self) -> None:
        self._view.note_full()
        self._full_until = self._view.full_until
        assert self._now < self._full_until <= self._now + LONGEST_FULL

    @rule()
    def it_takes_a_job(self) -> None:
        self._view.note_accepted()
        self._full_until = 0.0

    @rule(slots=st.integers(0, 6))
    def the_config_is_edited(self, slots: int) -> None:
        self._earlier.append(self._host)
        self._host = replace(self._host, slots=slots, tags=(f"edit {len(self._earlier)}",))
        self._failures, self._paused_until, self._full_until, self._facts = 0, 0.0, 0.0, None

    @rule(which=st.integers(0, 100))
    def who_began_before_an_edit_hears_something_else(self, which: int) -> None:
        view = self._board.view(self._earlier[which % len(self._earlier)])
        if view.host != self._host:
            view.note_failure(HostError("is down.", host="ada", reason=Reason.UNREACHABLE))
            view.note_full()

    @rule()
    def what_the_config_has_no_more_is_forgotten(self) -> None:
        self._board.forget_strangers({"ada": self._host}.get)

    @invariant()
    def nothing_is_placed_by_more_than_is_known(self) -> None:
        view = self._view
        small = self._facts is not None and (self._facts.memory_total_mb or 256) < 256
        assert view.slots == (self._host.slots or (1 if small else 4))
        assert view.ours == len(self._jobs)
        assert view.free == (0 if self._full_until > self._now else view.slots - len(self._jobs))
        assert view.left_alone is (self._paused_until > self._now)
        assert view.burden >= len(self._jobs) / view.slots
        young = self._facts is not None and self._now - self._facts.taken_at < FRESH_SECONDS
        assert view.is_fresh is (young and self._failures == 0)
        assert (view.obstacle() is None) is (self._failures == 0)


TestPlacement = PlacementMachine.TestCase
TestPlacement.settings = settings(stateful_step_count=40)


def test_the_burden_is_what_runs_and_the_load_per_processor_against_the_slots() -> None:
    view = HostView(replace(HOST, slots=4))
    assert view.burden == 0
    view.note_contact(Facts(name="ada", boot_id="-", load=2, running=1, cpus=4))
    assert view.burden == (1 + 0.5) / 4
    view.jobs |= {"a", "b", "c"}
    assert view.burden == (3 + 0.5) / 4


def test_a_host_that_is_down_or_full_for_days_is_still_left_alone_for_minutes_only() -> None:
    view = HostView(HOST)
    for _ in range(2000):
        view.note_failure(HostError("is down.", host="ada", reason=Reason.UNREACHABLE))
        view.note_full()
    assert view.pause_seconds == LONGEST_PAUSE
    assert view.free == 0
