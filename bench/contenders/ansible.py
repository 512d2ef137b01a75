"""Ansible, ad hoc, with the module that needs nothing on the host: the fastest way that it has to run one command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.contenders.libraries import ENVIRONMENT
from bench.contenders.program import Said, one_task_for_all, said
from bench.lab import Lab


class Ansible:
    """`ansible all -m raw -a COMMAND`, as many forks as hosts.

    Args:
        name: As shown in the tables.
        lab: Where.
        count: How many of its hosts.
        ssh_config: How they are reached.
        servers: The masters of shared connections.
    """

    def __init__(self, name: str, lab: Lab, count: int, ssh_config: Path, *, servers: Sequence[int] = ()) -> None:
        self.name = name
        self.servers = servers
        self._count = count
        self._inventory = lab.folder / f"ansible-{count}.ini"
        self._inventory.write_text("\n".join([*(host.name for host in lab.hosts[:count]), ""]))
        settings = lab.folder / f"{ssh_config.name}.cfg"
        settings.write_text(f"[ssh_connection]\nssh_args = -F {ssh_config}\npipelining = true\n")
        self._environment = {"HOME": str(lab.folder), "ANSIBLE_CONFIG": str(settings)}

    async def work(self, tasks: Sequence[str]) -> float | None:
        """As the contender does it."""
        return await one_task_for_all(self.name, tasks, self._count, self._run)

    async def _run(self, command: str) -> Said:
        where = ("all", "-i", str(self._inventory), "-f", str(self._count))
        program = str(ENVIRONMENT / "bin/ansible")
        return await said(program, *where, "-m", "raw", "-a", command, environment=self._environment)
