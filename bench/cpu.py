"""How much CPU processes have used, with all that they started."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


class Processes:
    """All processes of this machine at one moment."""

    def __init__(self) -> None:
        self._ticks: dict[int, int] = {}
        self._children: defaultdict[int, list[int]] = defaultdict(list)
        for entry in os.scandir("/proc"):
            if not entry.name.isdigit():
                continue
            try:
                fields = Path(entry.path, "stat").read_text().rpartition(") ")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            # Own time and that of ended children, as user and in the kernel.
            self._ticks[int(entry.name)] = sum(map(int, fields[11:15]))
            self._children[int(fields[1])].append(int(entry.name))

    def seconds(self, roots: Iterable[int]) -> float:
        """CPU of these processes and all below them, ended ones included."""
        return sum(self._ticks.get(pid, 0) for root in roots for pid in self.below(root)) / _TICKS

    def below(self, root: int) -> list[int]:
        """A process and all that descend from it."""
        found = [root]
        for pid in found:
            found += self._children[pid]
        return found


def peak_memory_mb(pid: int) -> float:
    """The most memory that a process has held so far (VmHWM), in MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
