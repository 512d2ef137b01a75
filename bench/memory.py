"""How much memory a process takes."""

from __future__ import annotations

from pathlib import Path


def forget_peak(pid: int) -> None:
    """Lets the peak of a process begin anew, at what it holds now (proc_pid_clear_refs(5), 5)."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_mb(pid: int) -> float:
    """The most that a process has held since its start, or since `forget_peak`, in MB."""
    return _field(pid, "VmHWM")


def held_mb(pid: int) -> float:
    """What a process holds now, in MB."""
    return _field(pid, "VmRSS")


def _field(pid: int, name: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024
