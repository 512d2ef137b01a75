"""A bash script with one `ssh` for each task: what one writes without any tool."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.contenders import DONE
from bench.lab import Lab


class Shell:
    """`ssh HOST bash -s <<<...` in the background for each task, and a `wait`."""

    def __init__(self, name: str, lab: Lab, count: int, ssh_config: Path) -> None:
        self.name = name
        self.servers: Sequence[int] = ()
        self._hosts = lab.hosts[:count]
        self._config = ssh_config
        self._script = lab.folder / f"{ssh_config.name}.sh"

    async def work(self, tasks: Sequence[str]) -> None:
        """As the contender does it."""
        lines = [self._line(number, task) for number, task in enumerate(tasks)]
        self._script.write_text("\n".join([*lines, "wait", ""]))
        process = await asyncio.create_subprocess_exec("bash", str(self._script), stdout=subprocess.PIPE)
        output, _ = await process.communicate()
        done = output.count(DONE.encode())
        assert done == len(tasks), f"{self.name}: {done} of {len(tasks)}"

    def _line(self, number: int, task: str) -> str:
        host = self._hosts[number % len(self._hosts)].name
        ssh = f"ssh -F {self._config} {host}"
        return f"{ssh} 'bash -s' <<< {shlex.quote(f'cd; .local/bin/picoclaw agent -m {shlex.quote(task)}')} &"
