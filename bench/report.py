"""The report: tables for people, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.figures import Measurement


def write(measurements: Sequence[Measurement], folder: Path) -> None:
    """Writes benchmarks.json and benchmarks.md."""
    whole = {"measurements": [asdict(measurement) for measurement in measurements]}
    (folder / "benchmarks.json").write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    (folder / "benchmarks.md").write_text("\n".join(map(section, measurements)), encoding="utf-8")


def section(measurement: Measurement) -> str:
    """A measurement under its heading."""
    lines = [f"## {measurement.title}", "", *(table(measurement.rows) if measurement.rows else [])]
    lines += ["", *(f"- {note}" for note in measurement.notes), ""]
    return "\n".join(lines)


def table(rows: Sequence[dict[str, object]]) -> list[str]:
    """Rows as the lines of a Markdown table."""
    columns = list(rows[0])
    lines = [_line(columns), _line(["---"] * len(columns))]
    return lines + [_line([str(row[column]) for column in columns]) for row in rows]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
