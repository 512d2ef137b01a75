"""Measuring: contenders in turn, several rounds, medians, ratios within one run."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.contenders import Contender
from bench.cpu import Processes
from bench.lab import Lab


@dataclass(frozen=True)
class Goal:
    """Something that was to be reached.

    Attributes:
        number: Its number in the list of goals.
        text: What was to be reached, with the limit in words.
        value: What was measured, mostly a ratio within one run.
        limit: What the value may be at most.
    """

    number: int
    text: str
    value: float
    limit: float

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.value <= self.limit


@dataclass(frozen=True)
class Measurement:
    """What came out of measuring one thing.

    Attributes:
        name: As `--only` takes it.
        title: What was measured, for a heading.
        rows: A line of a table each.
        goals: Those that it decides on.
        notes: What a reader has to know besides, such as what was not run and why.
    """

    name: str
    title: str
    rows: list[dict[str, object]]
    goals: tuple[Goal, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class Figures:
    """What one contender took, round by round, in seconds."""

    name: str
    wall: list[float] = field(default_factory=list[float])
    controller: list[float] = field(default_factory=list[float])
    hosts: list[float] = field(default_factory=list[float])

    def row(self, tasks: int, reference: Figures) -> dict[str, object]:
        """Medians, and the ratio to the reference."""
        return {
            "contender": self.name,
            "wall_s": round(statistics.median(self.wall), 3),
            "ratio": round(self.ratio(reference), 2),
            "controller_cpu_ms_per_task": round(statistics.median(self.controller) / tasks * 1000, 2),
            "host_cpu_ms_per_task": round(statistics.median(self.hosts) / tasks * 1000, 2),
        }

    def ratio(self, reference: Figures) -> float:
        """How long it took, the reference being 1."""
        return statistics.median(self.wall) / statistics.median(reference.wall)


async def in_turn(lab: Lab, contenders: Sequence[Contender], tasks: Sequence[str], rounds: int) -> list[Figures]:
    """Lets each contender do the tasks, one after another, so many rounds; the round before the first doesn't count."""
    figures = [Figures(contender.name) for contender in contenders]
    for number in range(rounds + 1):
        for contender, figure in zip(contenders, figures, strict=True):
            controller, hosts = _cpu_seconds(contender, lab)
            began = time.monotonic()
            await contender.work(tasks)
            took = time.monotonic() - began
            controller_after, hosts_after = _cpu_seconds(contender, lab)
            if number:
                figure.wall.append(took)
                figure.controller.append(controller_after - controller)
                figure.hosts.append(hosts_after - hosts)
    return figures


def _cpu_seconds(contender: Contender, lab: Lab) -> tuple[float, float]:
    """CPU used so far by a contender here, and by all hosts."""
    processes = Processes()
    controller = processes.seconds(contender.servers) + _seconds(resource.RUSAGE_CHILDREN)
    if not contender.servers:
        controller += _seconds(resource.RUSAGE_SELF)
    return controller, processes.seconds(host.process.pid for host in lab.hosts)


def _seconds(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime
