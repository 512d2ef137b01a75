"""What dead hosts, first in line, cost those that are alive."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench.dead import DeadAddresses, dead_addresses
from bench.figures import Goal, Measurement
from bench.lab import Lab, lab
from picoclaw_fleet.assignment import Assignment
from picoclaw_fleet.config.file import ConfigSource
from picoclaw_fleet.fleet import Fleet

_EACH = 5
_CONNECT_SECONDS = 3.0
_LINE = "5 jobs on each host, 5 % of them black holes and 5 % refusing, the dead ones first in line"
_LAST_HEALTHY = f"{_LINE}: the last result of a healthy host takes at most 1.3 times as long as without dead hosts"
_WHOLE = (
    f"{_LINE}: the whole takes at most 0.5 s longer than connect_timeout, or than the healthy hosts if they are slower"
)
_NOTE = (
    "Nobody is connected at the beginning of a round. connect_timeout is 3 s; of the black holes most take connections "
    "and never speak, the others drop what is sent to them. Compared with the same jobs on the healthy hosts alone."
)


async def measure(rounds: int, *, quick: bool) -> Measurement:
    """Cold, with and without the dead hosts in the config and in the batch."""
    count = 10 if quick else 100
    lost = max(count // 20, 1)
    with (
        lab(count - 2 * lost) as place,
        dead_addresses(place, mute=lost - lost * 2 // 5, dropping=lost * 2 // 5, refusing=lost) as dead,
    ):
        healthy = _config(place)
        mixed = _config(place, dead)
        without = Run("healthy hosts alone, each its jobs", place, healthy, _jobs_for_each(healthy))
        with_dead = Run("with dead hosts first, each its jobs", place, mixed, _jobs_for_each(mixed))
        anywhere = Run("with dead hosts first, jobs for anybody", place, mixed, _jobs_for_each(healthy, anywhere=True))
        runs = (without, with_dead, anywhere)
        for _ in range(rounds + 1):
            for run in runs:
                await run.once()
    return Measurement(
        "dead_hosts",
        f"{count} hosts, {2 * lost} of them dead, {_EACH} jobs each",
        [run.row(without) for run in runs],
        goals=(
            Goal(6, _LAST_HEALTHY, with_dead.last_healthy / without.last_healthy, 1.3),
            Goal(6, _WHOLE, with_dead.whole - max(_CONNECT_SECONDS, with_dead.last_healthy), 0.5),
        ),
        notes=(_NOTE,),
    )


@dataclass
class Run:
    """A batch that is dispatched by a new `Fleet` each round.

    Attributes:
        name: As shown in the table.
        place: Where the healthy hosts are.
        config: The fleet config.
        jobs: The batch, in order.
    """

    name: str
    place: Lab
    config: Path
    jobs: list[Assignment]
    _last: list[float] = field(default_factory=list[float])
    _whole: list[float] = field(default_factory=list[float])

    @property
    def last_healthy(self) -> float:
        """Seconds until the last job had succeeded. The first round, in which hosts get the runner, doesn't count."""
        return statistics.median(self._last[1:])

    @property
    def whole(self) -> float:
        """Seconds until all had ended."""
        return statistics.median(self._whole[1:])

    def row(self, reference: Run) -> dict[str, object]:
        """Medians, and the ratio to the reference."""
        return {
            "batch": self.name,
            "jobs": len(self.jobs),
            "last_healthy_s": round(self.last_healthy, 3),
            "ratio": round(self.last_healthy / reference.last_healthy, 2),
            "whole_s": round(self.whole, 3),
        }

    async def once(self) -> None:
        """Dispatches the batch and waits for all of it."""
        async with Fleet(ConfigSource(self.config), state=self.place.folder / "state") as fleet:
            began, began_at = time.monotonic(), datetime.now(UTC)
            batch = await fleet.dispatch_many(self.jobs)
            self._whole.append(time.monotonic() - began)
            ends = await _ends_of_successes(fleet, batch.batch_id)
        dead_jobs = sum(job.host.startswith("dead") for job in self.jobs)
        assert len(ends) == len(self.jobs) - dead_jobs, batch.summary
        self._last.append((max(ends) - began_at).total_seconds())


async def _ends_of_successes(fleet: Fleet, batch_id: str) -> Sequence[datetime]:
    done = await fleet.jobs(state="succeeded", batch_id=batch_id, limit=10_000)
    return [job.finished_at for job in done.jobs if job.finished_at is not None]


def _config(place: Lab, dead: DeadAddresses | None = None) -> Path:
    config = json.loads(place.config(len(place.hosts), connect_timeout=_CONNECT_SECONDS).read_text())
    addresses = (*dead.black_holes, *dead.refusing) if dead else ()
    lost = [{"name": f"dead{number}", "host": address} for number, address in enumerate(addresses)]
    file = place.folder / f"fleet-{len(lost)}-dead.json"
    file.write_text(json.dumps({**config, "hosts": [*lost, *config["hosts"]]}))
    return file


def _jobs_for_each(config: Path, *, anywhere: bool = False) -> list[Assignment]:
    """Jobs for each host in the order of the config, the dead ones' first."""
    names = [host["name"] for host in json.loads(config.read_text())["hosts"]]
    return [Assignment(task=f"t{turn}", host="" if anywhere else name) for name in names for turn in range(_EACH)]
