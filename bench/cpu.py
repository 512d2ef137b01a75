"""How much CPU processes have used, with all that they started."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


class Processes:
    """All processes of this machine at one moment."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self._children: defaultdict[int, list[int]] = defaultdict(list)
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit():
                continue
            pid = int(entry.name)
            try:
                fields = Path(entry.path, "stat").read_text().rpartition(") ")[2].split()
                own = time.clock_gettime(_cpu_clock(pid))
            except OSError:  # it has just ended
                continue
            ended_children = (int(fields[13]) + int(fields[14])) / _TICKS
            self._seconds[pid] = own + ended_children
            self._children[int(fields[1])].append(pid)

    def seconds(self, roots: Iterable[int]) -> float:
        """CPU of these processes and all below them, ended ones included."""
        return sum(self._seconds.get(pid, 0.0) for root in roots for pid in self.below(root))

    def below(self, root: int) -> list[int]:
        """A process and all that descend from it."""
        found = [root]
        for pid in found:
            found += self._children[pid]
        return found


def _cpu_clock(pid: int) -> int:
    """The clock of a process's CPU time, as clock_getcpuclockid(3) makes it on Linux: finer than the ticks of /proc."""
    return (~pid << 3) | 2
