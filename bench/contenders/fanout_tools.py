"""clush, pssh and pdsh: each runs one command on many hosts, by OpenSSH's client."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.contenders.program import Said, one_task_for_all, said
from bench.lab import Lab


@dataclass(frozen=True)
class Tool:
    """One of them.

    Attributes:
        program: What it is called, by any of these names.
        words: Makes its command line: of the hosts' names, the file of them, the ssh_config and the command.
    """

    name: str
    program: tuple[str, ...]
    words: Callable[[Sequence[str], Path, Path, str], list[str]]

    def found(self) -> str | None:
        """Where it is installed."""
        return next(filter(None, map(shutil.which, self.program)), None)


def _clush(names: Sequence[str], file: Path, config: Path, command: str) -> list[str]:
    return ["-w", ",".join(names), "-f", str(len(names)), "-o", f"-F {config}", command]


def _pssh(names: Sequence[str], file: Path, config: Path, command: str) -> list[str]:
    return ["-h", str(file), "-p", str(len(names)), "-t", "0", "-i", "-x", f"-F {config}", command]


def _pdsh(names: Sequence[str], file: Path, config: Path, command: str) -> list[str]:
    return ["-R", "ssh", "-w", ",".join(names), "-f", str(len(names)), command]


TOOLS = (
    Tool("clush", ("clush",), _clush),
    Tool("pssh", ("parallel-ssh", "pssh"), _pssh),
    Tool("pdsh", ("pdsh",), _pdsh),
)


class FanoutTool:
    """One of the tools, on all hosts at once.

    Args:
        name: As shown in the tables.
        tool: Which.
        lab: Where.
        count: How many of its hosts.
        ssh_config: How they are reached.
        servers: The masters of shared connections.
    """

    def __init__(
        self, name: str, tool: Tool, lab: Lab, count: int, ssh_config: Path, *, servers: Sequence[int] = ()
    ) -> None:
        self.name = name
        self.servers = servers
        self._tool = tool
        self._names = [host.name for host in lab.hosts[:count]]
        self._config = ssh_config
        self._hosts_file = lab.folder / f"hosts-{count}"
        self._hosts_file.write_text("\n".join([*self._names, ""]))
        # pdsh takes options for ssh from here only; no settings of whoever runs this are to be found.
        self._environment = {"PDSH_SSH_ARGS_APPEND": f"-F {ssh_config}", "HOME": str(lab.folder)}

    async def work(self, tasks: Sequence[str]) -> float | None:
        """As the contender does it."""
        return await one_task_for_all(self.name, tasks, len(self._names), self._run)

    async def _run(self, command: str) -> Said:
        program = self._tool.found()
        assert program is not None
        words = self._tool.words(self._names, self._hosts_file, self._config, command)
        return await said(program, *words, environment=self._environment)
