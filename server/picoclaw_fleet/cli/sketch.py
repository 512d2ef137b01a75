"""How far jobs have come, as a picture: a row for each host, and a line for the whole."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from picoclaw_fleet.cli.live import Picture, Row
from picoclaw_fleet.cli.output import size
from picoclaw_fleet.errors import State
from picoclaw_fleet.results import JobEntry
from picoclaw_fleet.text.wording import counted, with_reason


class Sketch:
    """Draws the same jobs again and again, and knows what has changed since.

    Args:
        scope_id: The job or the batch.
    """

    def __init__(self, scope_id: str) -> None:
        self._scope_id = scope_id
        self._began = time.monotonic()
        self._states: dict[str, str] = {}

    def first(self, total: int) -> Picture:
        """What is to be seen before anything is known of the jobs."""
        return Picture((), self._scope_id, [f"{self._scope_id}: {counted(total, 'job')}"])

    def picture(self, jobs: Sequence[JobEntry], received: Mapping[str, int]) -> Picture:
        """The jobs as they are now.

        Args:
            jobs: All of them.
            received: How many bytes have come from those that have ended, by their ids.
        """
        by_host: dict[str, list[JobEntry]] = {}
        for job in jobs:
            if job.host:
                by_host.setdefault(job.host, []).append(job)
        rows = sorted((_row(name, there, received) for name, there in by_host.items()), key=_idle)
        done = sum(State(job.state).finished for job in jobs)
        queued = sum(job.state == "queued" for job in jobs)
        parts = [
            self._scope_id,
            f"{done} of {len(jobs)} done",
            f"{queued} queued" if queued else "",
            f"{size(sum(received.values()))} received",
            f"{time.monotonic() - self._began:.0f} s",
        ]
        news = [line for job in jobs if (line := self._change(job))]
        return Picture(rows, ", ".join(filter(None, parts)), news)

    def _change(self, job: JobEntry) -> str:
        """What has changed with a job, as a line; "" when nothing has."""
        state = with_reason(job.state, job.reason)
        if self._states.get(job.job_id, "queued") == state:
            return ""
        self._states[job.job_id] = state
        took = f" in {job.duration_seconds:g} s" if job.duration_seconds is not None else ""
        return f"{job.host or '-'} {job.job_id} {state}{took}"


def _row(name: str, jobs: Sequence[JobEntry], received: Mapping[str, int]) -> Row:
    counts = Counter(job.state for job in jobs)
    state = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in counts.items())
    reasons = sorted({job.reason for job in jobs if job.reason and not State(job.state).finished})
    running = [job.started_at for job in jobs if job.state == "running" and job.started_at]
    return Row(
        name,
        f"{state} ({', '.join(reasons)})" if reasons else state,
        sum(received.get(job.job_id, 0) for job in jobs),
        (datetime.now(UTC) - min(running)).total_seconds() if running else None,
    )


def _idle(row: Row) -> bool:
    return row.seconds is None
