"""Whatever dies, no task is lost, run twice or left behind.

PICOCLAW_FLEET_FAULT_KILLS   how often the server is killed (`make soak` does it 200 times); a few by default
PICOCLAW_FLEET_FAULT_SECONDS when to end at the latest, however few kills there were by then
PICOCLAW_FLEET_FAULT_SEED    to have the dice fall once more as they did; printed with every run
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.faults.storm import NEVER_SENT, SLOTS, Storm, storm

from picoclaw_fleet.errors import Reason, State

KILLS = int(os.environ.get("PICOCLAW_FLEET_FAULT_KILLS", "6"))
SECONDS = float(os.environ.get("PICOCLAW_FLEET_FAULT_SECONDS", "25"))
SEED = int(os.environ.get("PICOCLAW_FLEET_FAULT_SEED", random.randrange(1 << 32)))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.timeout(SECONDS + 300)
async def test_whatever_dies_each_task_has_one_outcome_and_ran_at_most_once(tmp_path: Path) -> None:
    _say(f"PICOCLAW_FLEET_FAULT_SEED={SEED}")
    began = time.monotonic()
    async with storm(tmp_path, SEED) as raging:
        await raging.rage(KILLS, SECONDS)
        status = await raging.calm()
        _tell(raging, time.monotonic() - began)
        _check_ledger(raging)
        _check_runs(raging)
        assert all("The ledger" in refusal for refusal in raging.refusals), raging.refusals
        assert not raging.errors.count("Traceback"), raging.errors
        assert {host["running"] for host in status["hosts"]} == {0}
        assert {host["free_slots"] for host in status["hosts"]} == {SLOTS}


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _tell(raging: Storm, seconds: float) -> None:
    ends = Counter((state, reason or "") for *_, state, reason in raging.rows())
    _say(f"{raging.kills} kills, {len(raging.refusals)} calls refused, {seconds:.0f} s")
    _say(f"{raging.tasks} tasks asked for, {ends.total()} of them in the ledger")
    _say("faults: " + ", ".join(f"{count} {kind}" for kind, count in raging.faults.most_common()))
    _say("ends: " + ", ".join(f"{count} {' '.join(end).strip()}" for end, count in ends.most_common()))


def _check_ledger(raging: Storm) -> None:
    """Nothing that a call has returned is missing, and everything has ended in one of the ways there are."""
    rows = raging.rows()
    in_batches: dict[str, list[str]] = {}
    for _, batch_id, task, _, _ in rows:
        in_batches.setdefault(batch_id, []).append(task)
    for batch_id, tasks in raging.accepted.items():
        assert sorted(in_batches[batch_id]) == sorted(tasks)
    assert len({task for _, _, task, _, _ in rows}) == len(rows)
    assert all(State(state).finished for *_, state, _ in rows)
    # Nobody removes the folders of jobs on the hosts: none may be missed there.
    assert not [row for row in rows if row[3:] == (State.LOST, Reason.LOST_CONTACT)]


def _check_runs(raging: Storm) -> None:
    """By the workers' own logs each task ran at most once; what succeeded did run, what was not sent did not."""
    runs = Counter(task for victim in raging.victims for task in victim.tasks())
    assert not [task for task, count in runs.items() if count > 1]
    for job_id, _, task, state, reason in raging.rows():
        if state == State.SUCCEEDED:
            assert runs[task] == 1, job_id
        if state == State.FAILED and reason in NEVER_SENT:
            assert runs[task] == 0, (job_id, reason)
