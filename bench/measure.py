"""Measuring: contenders in turn, several rounds, medians, ratios within one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from bench.contenders import Contender, controller_cpu_seconds
from bench.lab import Lab, server_cpu_seconds

Round = Callable[[], Awaitable[None]]


@dataclass
class Figures:
    """What one contender took, round by round, in seconds."""

    name: str
    wall: list[float] = field(default_factory=list)
    controller: list[float] = field(default_factory=list)
    hosts: list[float] = field(default_factory=list)

    def row(self, tasks: int, reference: Figures) -> dict[str, object]:
        """Medians, and the ratio to the reference."""
        wall = statistics.median(self.wall)
        return {
            "contender": self.name,
            "wall_s": round(wall, 3),
            "ratio": round(wall / statistics.median(reference.wall), 2),
            "controller_cpu_ms_per_task": round(statistics.median(self.controller) / tasks * 1000, 2),
            "host_cpu_ms_per_task": round(statistics.median(self.hosts) / tasks * 1000, 2),
        }


async def in_turn(lab: Lab, contenders: Sequence[Contender], tasks: Sequence[str], rounds: int) -> list[Figures]:
    """Lets each contender do the tasks, one after another, so many rounds; the round before the first doesn't count."""
    figures = [Figures(contender.name) for contender in contenders]
    for number in range(rounds + 1):
        for contender, figure in zip(contenders, figures, strict=True):
            hosts, controller, began = server_cpu_seconds(lab.hosts), controller_cpu_seconds(contender.servers), _now()
            await contender.work(tasks)
            if number:
                figure.wall.append(_now() - began)
                figure.controller.append(controller_cpu_seconds(contender.servers) - controller)
                figure.hosts.append(server_cpu_seconds(lab.hosts) - hosts)
    return figures


def table(title: str, rows: Sequence[dict[str, object]]) -> str:
    """Rows as a Markdown table."""
    columns = list(rows[0])
    lines = [f"### {title}", "", "| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    lines += ["| " + " | ".join(str(row[column]) for column in columns) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _now() -> float:
    return time.monotonic()
