"""Measuring: contenders in turn, several rounds, medians, ratios within one run."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field

from bench.contenders import Contender
from bench.cpu import Processes
from bench.lab import Lab
from bench.memory import peak_mb


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
class Chart:
    """Something worth a picture.

    Attributes:
        title: What the bars show.
        bars: Whose they are, and how long.
    """

    title: str
    bars: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Measurement:
    """What came out of measuring one thing.

    Attributes:
        name: As `--only` takes it.
        title: What was measured, for a heading.
        rows: A line of a table each. Those with the same `case`, if they have any, get a table of their own.
        goals: Those that it decides on.
        notes: What a reader has to know besides, such as what was not run and why.
        charts: What of it is worth a picture.
    """

    name: str
    title: str
    rows: list[dict[str, object]]
    goals: tuple[Goal, ...] = ()
    notes: tuple[str, ...] = ()
    charts: tuple[Chart, ...] = ()


@dataclass
class Figures:
    """What one contender took, round by round, in seconds.

    Attributes:
        name: The contender's.
        wall: From the first task handed over to the last answer.
        first: Until the first answer, where that can be seen.
        controller: CPU of the contender.
        programs: That part of it which went into programs that it started and waited for.
        hosts: CPU of all hosts.
        memory_mb: The most that the contender has held, where it is one process.
    """

    name: str
    wall: list[float] = field(default_factory=list[float])
    first: list[float] = field(default_factory=list[float])
    controller: list[float] = field(default_factory=list[float])
    programs: list[float] = field(default_factory=list[float])
    hosts: list[float] = field(default_factory=list[float])
    memory_mb: float | None = None

    def row(self, tasks: int, reference: Figures) -> dict[str, object]:
        """Medians, and the ratio to the reference; None for what can't be told."""
        return {
            "contender": self.name,
            "wall_s": round(statistics.median(self.wall), 3),
            "ratio": round(self.ratio(reference), 2),
            "first_s": round(statistics.median(self.first), 3) if self.first else None,
            "controller_cpu_ms_per_task": round(statistics.median(self.controller) / tasks * 1000, 2),
            "host_cpu_ms_per_task": round(statistics.median(self.hosts) / tasks * 1000, 2),
            "peak_memory_mb": None if self.memory_mb is None else round(self.memory_mb),
        }

    def ratio(self, reference: Figures) -> float:
        """How long it took, the reference being 1."""
        return statistics.median(self.wall) / statistics.median(reference.wall)


@dataclass(frozen=True)
class Anew:
    """A contender that begins anew in each round; neither its beginning nor its end counts.

    Attributes:
        name: As the contender's.
        open: Makes it.
    """

    name: str
    open: Callable[[], AbstractAsyncContextManager[Contender]]


async def in_turn(
    lab: Lab,
    contenders: Sequence[Contender | Anew],
    tasks: Sequence[str],
    rounds: int,
    *,
    warm_up: bool = True,
    fewer: Mapping[str, int] | None = None,
) -> list[Figures]:
    """Lets each contender do the tasks, one after another, so many rounds.

    Args:
        lab: Whose hosts they use.
        contenders: Who.
        tasks: What each is given in each round.
        rounds: How many count.
        warm_up: Whether a round that doesn't count comes first.
        fewer: Who takes part in so many rounds only, by name.
    """
    figures = [Figures(contender.name) for contender in contenders]
    for number in range(rounds + warm_up):
        for contender, figure in zip(contenders, figures, strict=True):
            if len(figure.wall) >= (fewer or {}).get(figure.name, rounds):
                continue
            async with AsyncExitStack() as stack:
                if isinstance(contender, Anew):
                    contender = await stack.enter_async_context(contender.open())
                turn = await _take_turn(lab, contender, tasks)
                if len(contender.servers) == 1:
                    figure.memory_mb = peak_mb(contender.servers[0])
            if number >= warm_up:
                turn.add_to(figure)
    return figures


@dataclass(frozen=True)
class _Turn:
    wall: float
    first: float | None
    controller: float
    programs: float
    hosts: float

    def add_to(self, figures: Figures) -> None:
        figures.wall.append(self.wall)
        figures.controller.append(self.controller)
        figures.programs.append(self.programs)
        figures.hosts.append(self.hosts)
        if self.first is not None:
            figures.first.append(self.first)


async def _take_turn(lab: Lab, contender: Contender, tasks: Sequence[str]) -> _Turn:
    # What looking at all processes takes must not count as the contender's.
    processes_before, own_before = Processes(), _Own()
    began = time.monotonic()
    first = await contender.work(tasks)
    wall = time.monotonic() - began
    own, processes = _Own(), Processes()

    def used(roots: Sequence[int]) -> float:
        return processes.seconds(roots) - processes_before.seconds(roots)

    programs = own.programs - own_before.programs
    here = used(contender.servers) if contender.servers else own.here - own_before.here
    return _Turn(wall, first, here + programs, programs, used([host.pid for host in lab.hosts]))


class _Own:
    """CPU that this process and its ended children have used so far."""

    def __init__(self) -> None:
        self.here = _seconds(resource.RUSAGE_SELF)
        self.programs = _seconds(resource.RUSAGE_CHILDREN)


def _seconds(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime
