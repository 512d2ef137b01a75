"""How scripts are spoken to: `python -m ... LAB COUNT warm|cold`, then a JSON list of tasks on each line of stdin."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.lab import Lab


def arguments() -> tuple[Lab, int, list[str]]:
    """Where, on how many hosts, and what else is said."""
    return Lab.read(Path(sys.argv[1])), int(sys.argv[2]), sys.argv[3:]


def answer(done: int) -> None:
    """Says how many tasks are done; at first 0, for being ready."""
    print(done, flush=True)


def rounds() -> Iterator[list[str]]:
    """The tasks of each round, until stdin ends."""
    for line in sys.stdin:
        yield json.loads(line)


def chunks(tasks: list[str], size: int) -> list[list[str]]:
    """The tasks in parts, one task for each host."""
    return [tasks[start : start + size] for start in range(0, len(tasks), size)]
