"""The report: tables and goals for people, the same as JSON, and a chart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench import chart
from bench.figures import Goal, Measurement

_INTRODUCTION = """\
# Benchmarks

Side by side with what people use instead, in one run on one machine, which plays the controller and all hosts: each
host is a real sshd on an address of its own, with its own processes. So wall times hold what the hosts take, too; what
counts are the ratios within this run. A worker here answers at once: what is measured is the way to it and back.
Medians; contenders take turns round by round. `make bench` runs all of it again.
"""


def write(measurements: Sequence[Measurement], machine: dict[str, str], folder: Path) -> None:
    """Writes benchmarks.json, benchmarks.md and benchmarks.svg."""
    whole = {
        "machine": machine,
        "goals": [{**asdict(goal), "met": goal.met} for goal in _goals(measurements)],
        "measurements": [asdict(measurement) for measurement in measurements],
    }
    folder.mkdir(parents=True, exist_ok=True)
    charts = [one for measurement in measurements for one in measurement.charts]
    _put(folder / "benchmarks.json", json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
    _put(folder / "benchmarks.md", _markdown(measurements, machine, with_chart=bool(charts)))
    if charts:
        _put(folder / "benchmarks.svg", chart.drawn(charts))


def section(measurement: Measurement) -> str:
    """A measurement under its heading."""
    cases: dict[object, list[dict[str, object]]] = {}
    for row in measurement.rows:
        cases.setdefault(row.get("case"), []).append({key: value for key, value in row.items() if key != "case"})
    parts = [f"## {measurement.title}"]
    for case, rows in cases.items():
        parts += [f"### {case}", table(rows)] if case else [table(rows)]
    parts += ["\n".join(f"- {note}" for note in measurement.notes)] if measurement.notes else []
    return "\n\n".join(parts) + "\n"


def table(rows: Sequence[dict[str, object]]) -> str:
    """Rows as a Markdown table, without columns that have nothing in any row."""
    keys = dict.fromkeys(key for row in rows for key in row)
    columns = [key for key in keys if any(row.get(key) is not None for row in rows)]
    lines = [columns, ["---"] * len(columns), *([_cell(row.get(column)) for column in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def goals_table(goals: Sequence[Goal]) -> str:
    """All goals, and whether they were met."""
    return table(
        [
            {
                "goal": goal.number,
                "what": goal.text,
                "figure": f"{goal.value:.4g}",
                "limit": f"{goal.limit:g}",
                "": "met" if goal.met else "**missed**",
            }
            for goal in sorted(goals, key=lambda goal: goal.number)
        ]
    )


def _markdown(measurements: Sequence[Measurement], machine: dict[str, str], *, with_chart: bool) -> str:
    parts = [_INTRODUCTION]
    parts += ["![Time taken, ours being 1](benchmarks.svg)\n"] if with_chart else []
    goals = _goals(measurements)
    parts += [f"## Goals\n\n{goals_table(goals)}\n"] if goals else []
    parts += map(section, measurements)
    parts.append(
        f"## Machine and versions\n\n{table([{'what': key, 'is': value} for key, value in machine.items()])}\n"
    )
    return "\n".join(parts)


def _goals(measurements: Sequence[Measurement]) -> list[Goal]:
    return [goal for measurement in measurements for goal in measurement.goals]


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _put(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
