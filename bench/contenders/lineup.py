"""Who takes part in the fan-out, under which name, and up to how many jobs a round."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.contenders import FAST_OPENSSH, Contender
from bench.contenders.ansible import Ansible
from bench.contenders.fanout_tools import TOOLS, FanoutTool, Tool
from bench.contenders.libraries import ENVIRONMENT, Pyinfra, scripted
from bench.contenders.ours import CommandLine, first_answer, through_fleet, through_mcp
from bench.contenders.shell import Line, Shell, as_we_do, original, plain
from bench.lab import Lab

MCP = "picoclaw-fleet, MCP over stdio"
FLEET = "picoclaw-fleet, Fleet in Python"
FIRST = "picoclaw-fleet, Fleet, asked for the first answer"
COMMAND_LINE = "picoclaw-fleet map"
ORIGINAL = "ssh & and wait, the original skill's way"
FAST_LOOP = "ssh & and wait, curve25519 and aes128-gcm"
MUX_PLAIN = "ssh & over ControlMaster, plain command"
MUX_SAME = "ssh & over ControlMaster, the command that we send"
BARE_PLAIN = "asyncssh, plain command"
BARE_SAME = "asyncssh, the command that we send"

_MANY = 1000


@dataclass(frozen=True)
class Ground:
    """Where a contender works.

    Attributes:
        lab: The hosts.
        count: How many of them.
        ssh_config: How OpenSSH's client gets there at its best: over masters, if there are any.
        masters: Their pids.
    """

    lab: Lab
    count: int
    ssh_config: Path
    masters: Sequence[int] = ()


@dataclass(frozen=True)
class Entry:
    """One who takes part.

    Attributes:
        name: As shown in the tables.
        open: Makes the contender.
        most_jobs: Above that it would take too long.
        missing: What isn't installed; empty when it can be run.
        anew: Whether each round has to begin with a new one, for there to be no connections.
        one_task_for_all: Whether it gives all hosts the same task, so that there are as many jobs as hosts.
    """

    name: str
    open: Callable[[Ground], AbstractAsyncContextManager[Contender]]
    most_jobs: int = _MANY
    missing: str = ""
    anew: bool = False
    one_task_for_all: bool = False

    def fits(self, hosts: int, jobs: int) -> bool:
        """Whether it is here, and can do so much in bearable time."""
        return not self.missing and jobs <= self.most_jobs and (jobs == hosts or not self.one_task_for_all)


def cold() -> list[Entry]:
    """Those who begin without connections."""
    return [
        Entry(ORIGINAL, _original, most_jobs=200),
        Entry(FAST_LOOP, _made(lambda at: Shell(FAST_LOOP, at.lab, at.count, at.ssh_config)), most_jobs=500),
        _one_after_another(),
        *(_tool(tool, 200) for tool in TOOLS),
        _ansible("Ansible, raw", 50),
        _pyinfra(),
        _script("parallel-ssh (library)", "parallel_ssh", "cold", most_jobs=500),
        _script("Fabric, ThreadingGroup", "fabric_group", "cold", most_jobs=500),
        _bare(BARE_PLAIN, "cold", "plain"),
        Entry(COMMAND_LINE, _made(lambda at: CommandLine(COMMAND_LINE, at.lab, at.count))),
        Entry(FIRST, lambda at: first_answer(at.lab, at.count, FIRST), anew=True),
        Entry(FLEET, lambda at: through_fleet(at.lab, at.count, FLEET), anew=True),
        Entry(MCP, lambda at: through_mcp(at.lab, at.count, MCP), anew=True),
    ]


def warm() -> list[Entry]:
    """Those who have their connections already."""
    return [
        Entry(MUX_PLAIN, _over_masters(MUX_PLAIN, plain)),
        Entry(MUX_SAME, _over_masters(MUX_SAME, as_we_do)),
        *(_tool(tool, 100, " over ControlMaster") for tool in TOOLS),
        _ansible("Ansible, raw, over ControlMaster", 50),
        _script("parallel-ssh (library)", "parallel_ssh", "warm", most_jobs=500),
        _script("Fabric, ThreadingGroup", "fabric_group", "warm", most_jobs=500),
        _bare(BARE_PLAIN, "warm", "plain"),
        _bare(BARE_SAME, "warm", "runner"),
        Entry(FLEET, lambda at: through_fleet(at.lab, at.count, FLEET)),
        Entry(MCP, lambda at: through_mcp(at.lab, at.count, MCP)),
    ]


def the_original(most_jobs: int) -> Entry:
    """The original skill's way, which is always cold."""
    return Entry(ORIGINAL, _original, most_jobs=most_jobs)


def fast_config(lab: Lab) -> Path:
    """How OpenSSH's client gets there with what costs least, connecting anew."""
    return lab.ssh_config("fast", *FAST_OPENSSH)


def _made(make: Callable[[Ground], Contender]) -> Callable[[Ground], AbstractAsyncContextManager[Contender]]:
    @asynccontextmanager
    async def opened(ground: Ground) -> AsyncGenerator[Contender]:
        yield make(ground)

    return opened


_original = _made(lambda at: Shell(ORIGINAL, at.lab, at.count, at.lab.ssh_config("default"), original))


def _over_masters(name: str, line: Line) -> Callable[[Ground], AbstractAsyncContextManager[Contender]]:
    return _made(lambda at: Shell(name, at.lab, at.count, at.ssh_config, line, servers=at.masters))


def _one_after_another() -> Entry:
    name = "ssh, one after another, curve25519 and aes128-gcm"
    make = _made(lambda at: Shell(name, at.lab, at.count, at.ssh_config, at_once=False))
    return Entry(name, make, most_jobs=10)


def _tool(tool: Tool, most_jobs: int, how: str = "") -> Entry:
    name = tool.name + how
    make = _made(lambda at: FanoutTool(name, tool, at.lab, at.count, at.ssh_config, servers=at.masters))
    return Entry(name, make, most_jobs, "" if tool.found() else tool.program[0], one_task_for_all=True)


def _ansible(name: str, most_jobs: int) -> Entry:
    make = _made(lambda at: Ansible(name, at.lab, at.count, at.ssh_config, servers=at.masters))
    return Entry(name, make, most_jobs, _missing("ansible"), one_task_for_all=True)


def _pyinfra() -> Entry:
    make = _made(lambda at: Pyinfra("pyinfra exec", at.lab, at.count))
    return Entry("pyinfra exec", make, 200, _missing("pyinfra"), one_task_for_all=True)


def _script(name: str, module: str, *words: str, most_jobs: int) -> Entry:
    python = ENVIRONMENT / "bin/python"
    missing = _missing("python")
    return Entry(name, lambda at: scripted(name, module, python, at.lab, at.count, *words), most_jobs, missing)


def _bare(name: str, *words: str) -> Entry:
    python = Path(sys.executable)
    return Entry(name, lambda at: scripted(name, "asyncssh_gather", python, at.lab, at.count, *words))


def _missing(program: str) -> str:
    file = ENVIRONMENT / "bin" / program
    return "" if file.exists() else str(file)
