"""Handing out many tasks to many hosts, next to what people use instead."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass

from bench.contenders import Contender, lineup
from bench.contenders.lineup import Entry, Ground
from bench.contenders.ours import install_runner
from bench.contenders.shell import masters
from bench.cpu import Processes
from bench.figures import Anew, Chart, Figures, Goal, Measurement, in_turn
from bench.lab import Lab, lab
from picoclaw_fleet.jobs.housekeeping import ROUND_SECONDS

_ROUNDS_BESIDES_GOALS = 3


@dataclass(frozen=True)
class Case:
    """How much work, and how it begins.

    Attributes:
        hosts: How many hosts.
        jobs: How many jobs.
        warm: Whether there are connections already.
        seconds: How long a worker sleeps.
        among: Who takes part; empty for all.
    """

    hosts: int
    jobs: int
    warm: bool
    seconds: int = 0
    among: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        """For a heading."""
        begin = "connected before" if self.warm else "nobody connected"
        work = f", each of {self.seconds} s" if self.seconds else ""
        return f"{self.jobs} jobs{work} on {self.hosts} hosts, {begin}"

    def tasks(self) -> list[str]:
        """What is handed out."""
        return [f"sleep {self.seconds}" if self.seconds else f"t{number}" for number in range(self.jobs)]

    def entries(self) -> list[Entry]:
        """Who takes part, the slowest first: what we clear away later disturbs him least."""
        entries = lineup.warm() if self.warm else lineup.cold()
        if self == WARM_GOALS:
            entries.insert(0, lineup.the_original(self.jobs))
        among = self.among or {entry.name for entry in entries}
        return [entry for entry in entries if entry.name in among and entry.fits(self.hosts, self.jobs)]


_FOR_GOALS = frozenset(
    {
        lineup.ORIGINAL,
        lineup.FAST_LOOP,
        lineup.MUX_SAME,
        lineup.BARE_SAME,
        lineup.FIRST,
        lineup.FLEET,
        lineup.MCP,
    }
)
_CORE = frozenset({*_FOR_GOALS, lineup.BARE_PLAIN}) - {lineup.FIRST, lineup.FLEET}
WARM_GOALS = Case(100, 500, warm=True)
COLD_GOALS = Case(200, 200, warm=False)
_REST = (
    Case(10, 10, warm=True),
    Case(10, 50, warm=True),
    Case(50, 50, warm=True),
    Case(50, 250, warm=True),
    Case(100, 100, warm=True),
    Case(200, 200, warm=True, among=_CORE),
    Case(200, 1000, warm=True, among=_CORE),
    Case(100, 100, warm=True, seconds=1, among=_CORE),
    Case(10, 10, warm=False),
    Case(10, 50, warm=False),
    Case(50, 50, warm=False),
    Case(50, 250, warm=False, among=_CORE),
    Case(100, 100, warm=False, among=_CORE),
    Case(100, 500, warm=False, among=_CORE),
    Case(100, 100, warm=False, seconds=1, among=_CORE),
)
_FEW = frozenset({lineup.MCP, lineup.MUX_SAME, lineup.BARE_SAME, lineup.FAST_LOOP})
_QUICK = (Case(2, 4, warm=True, among=_FEW), Case(2, 2, warm=False, among=_FEW))

Results = dict[Case, dict[str, Figures]]


async def measure(rounds: int, *, quick: bool) -> Measurement:
    """Goals 1, 2 and 4, and the other sizes."""
    cases = _QUICK if quick else (WARM_GOALS, COLD_GOALS, *_REST)
    results: Results = {}
    with lab(max(case.hosts for case in cases)) as place:
        await install_runner(place, len(place.hosts))
        for case in cases:
            results[case] = await _take_part(place, case, rounds)
        clearing = None if quick else await _clearing(place)
    rows = [{"case": case.title, **row} for case, figures in results.items() for row in _rows(case, figures)]
    if clearing is None:
        return Measurement("fan_out", "Handing out tasks", rows)
    return Measurement(
        "fan_out",
        "Handing out tasks",
        rows,
        goals=(*_goals_warm(results[WARM_GOALS], clearing), *_goals_cold(results[COLD_GOALS])),
        notes=tuple(_notes(clearing)),
        charts=tuple(_chart(case, results[case]) for case in (WARM_GOALS, COLD_GOALS)),
    )


async def _take_part(place: Lab, case: Case, rounds: int) -> dict[str, Figures]:
    tasks = case.tasks()
    async with AsyncExitStack() as stack:
        ground = Ground(place, case.hosts, lineup.fast_config(place))
        if case.warm:
            ground = Ground(place, case.hosts, *await stack.enter_async_context(masters(place, case.hosts)))
        contenders: list[Contender | Anew] = []
        for entry in case.entries():
            if entry.anew:
                contenders.append(Anew(entry.name, _opener(entry, ground)))
                continue
            contender = await stack.enter_async_context(entry.open(ground))
            contenders.append(contender)
            if case.warm and entry.name != lineup.ORIGINAL:
                await contender.work(tasks[: case.hosts])
        for_goals = _FOR_GOALS if case in (WARM_GOALS, COLD_GOALS) else ()
        fewer = {one.name: _ROUNDS_BESIDES_GOALS for one in contenders if one.name not in for_goals}
        figures = await in_turn(place, contenders, tasks, rounds, warm_up=False, fewer=fewer)
    return {figure.name: figure for figure in figures}


def _opener(entry: Entry, ground: Ground) -> Callable[[], AbstractAsyncContextManager[Contender]]:
    return lambda: entry.open(ground)


@dataclass(frozen=True)
class _Clearing:
    """What we do after the last answer: CPU in ms for each job."""

    controller: float
    hosts: float


async def _clearing(place: Lab) -> _Clearing:
    entry = next(entry for entry in lineup.warm() if entry.name == lineup.MCP)
    roots = [host.pid for host in place.hosts]
    async with entry.open(Ground(place, WARM_GOALS.hosts, lineup.fast_config(place))) as mcp:
        await mcp.work(WARM_GOALS.tasks())
        before = Processes()
        await asyncio.sleep(ROUND_SECONDS + 2)
        after = Processes()
        spent = [(after.seconds(pids) - before.seconds(pids)) * 1000 for pids in (mcp.servers, roots)]
    return _Clearing(*(milliseconds / WARM_GOALS.jobs for milliseconds in spent))


def _rows(case: Case, figures: dict[str, Figures]) -> list[dict[str, object]]:
    ours = figures[lineup.MCP]
    return [figure.row(case.jobs, ours) for figure in sorted(figures.values(), key=lambda one: one.ratio(ours))]


def _goals_warm(figures: dict[str, Figures], clearing: _Clearing) -> Sequence[Goal]:
    ours, mux = figures[lineup.MCP], figures[lineup.MUX_SAME]
    what = f"{WARM_GOALS.jobs} jobs on {WARM_GOALS.hosts} connected hosts through MCP"
    ours_cpu = statistics.median(ours.controller) + clearing.controller / 1000 * WARM_GOALS.jobs
    return (
        Goal(1, f"{what} take at most 1/8 of the original skill's loop", ours.ratio(figures[lineup.ORIGINAL]), 0.125),
        Goal(1, f"{what} take no longer than the same command over ControlMaster", ours.ratio(mux), 1.0),
        Goal(1, f"{what} take at most 1.3 times asyncssh's bare loop", ours.ratio(figures[lineup.BARE_SAME]), 1.3),
        Goal(
            2,
            f"{what}: the server's CPU, clearing away included, is at most 0.2 of ControlMaster's clients'",
            ours_cpu / statistics.median(mux.programs),
            0.2,
        ),
    )


def _goals_cold(figures: dict[str, Figures]) -> Sequence[Goal]:
    ours, first = figures[lineup.FLEET], figures[lineup.FIRST]
    what = f"{COLD_GOALS.jobs} jobs on {COLD_GOALS.hosts} hosts without connections"
    return (
        Goal(
            4,
            f"{what} take, through Fleet, at most 0.25 of the original skill's loop",
            ours.ratio(figures[lineup.ORIGINAL]),
            0.25,
        ),
        Goal(
            4,
            f"{what} take, through Fleet, at most 0.9 of the loop with curve25519 and aes128-gcm",
            ours.ratio(figures[lineup.FAST_LOOP]),
            0.9,
        ),
        Goal(
            4,
            f"{what}, through Fleet: the first answer is there after at most 0.15 of the time of the last",
            statistics.median(first.first) / statistics.median(first.wall),
            0.15,
        ),
    )


def _chart(case: Case, figures: dict[str, Figures]) -> Chart:
    ours = figures[lineup.MCP]
    bars = sorted((figure.ratio(ours), figure.name) for figure in figures.values())
    return Chart(f"{case.title}: time, ours through MCP being 1", tuple((name, ratio) for ratio, name in bars))


def _notes(clearing: _Clearing) -> list[str]:
    entries = [*lineup.warm(), *lineup.cold()]
    notes = [
        (
            "ratio: the time from the first task handed over to the last answer, ours through MCP being 1. first_s: "
            "when the first answer was to be seen, where they come one by one. CPU: of the contender with all that it "
            "starts, the masters of ControlMaster included, and of all hosts, for each job. peak_memory_mb: where the "
            "contender is one long-lived process."
        ),
        (
            f"What we clear away on the hosts up to {ROUND_SECONDS:.0f} s after the last answer is not in the tables: "
            f"it takes {clearing.controller:.2f} ms of CPU for each job here, and {clearing.hosts:.2f} ms there."
        ),
        (
            "A plain command does less: it ends with its connection, nothing limits its time or its output, and what "
            "it leaves behind goes on. The fair comparison of the ways there is the command that we send."
        ),
        f"Who decides on no goal takes part in {_ROUNDS_BESIDES_GOALS} rounds at most.",
        (
            "clush, pssh, pdsh, Ansible and pyinfra give all hosts one task: they are run where there are as many jobs "
            "as hosts. Fabric's group does so, too, and is called again and again."
        ),
        "The command line, pyinfra and one ssh after another connect anew in each call: there is no warm row of them.",
        (
            f"In these cases ({'; '.join(case.title for case in _REST if case.among)}), for the time that it takes, "
            f"only these were run: {'; '.join(sorted(_CORE))}."
        ),
        "Not run at all: 1,000 jobs on 200 hosts that nobody is connected with, and more than one job of 1 s a host.",
    ]
    for most in sorted({entry.most_jobs for entry in entries if entry.most_jobs < max(case.jobs for case in _REST)}):
        names = "; ".join(entry.name for entry in entries if entry.most_jobs == most)
        notes.append(f"Not run with more than {most} jobs, for the time that takes: {names}.")
    notes += [f"Not run, since {entry.missing} is not installed: {entry.name}." for entry in entries if entry.missing]
    return notes
