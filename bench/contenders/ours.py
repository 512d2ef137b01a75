"""Us: through MCP over stdio as an agent uses it, through `Fleet`, and through the command line."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from mcp import Client
from mcp.client.stdio import StdioServerParameters

from bench.contenders import check
from bench.contenders.program import said
from bench.cpu import Processes
from bench.lab import Lab
from picoclaw_fleet.assignment import Assignment
from picoclaw_fleet.config.file import ConfigSource
from picoclaw_fleet.errors import State
from picoclaw_fleet.fleet import LONGEST_WAIT_SECONDS, Fleet
from picoclaw_fleet.results import BatchResult

COMMAND = Path(sys.executable).with_name("picoclaw-fleet")

_LOOK_SECONDS = 0.01
_JOB = '"type": "job"'


class ThroughFleet:
    """Our `Fleet` in this process."""

    def __init__(self, name: str, fleet: Fleet) -> None:
        self.name = name
        self.servers: Sequence[int] = ()
        self.fleet = fleet

    async def work(self, tasks: Sequence[str]) -> float | None:
        """As the contender does it."""
        result = await self.fleet.dispatch_many([Assignment(task=task) for task in tasks])
        check(self.name, result.counts.succeeded, tasks)
        return None


class FirstAnswer(ThroughFleet):
    """The same, asking again and again whether the first job has succeeded, which makes it a little slower."""

    async def work(self, tasks: Sequence[str]) -> float | None:
        """As the contender does it."""
        began = time.monotonic()
        batch = await self.fleet.dispatch_many([Assignment(task=task) for task in tasks], wait_seconds=0)
        jobs = batch.jobs
        while not any(job.state == State.SUCCEEDED for job in jobs):
            await asyncio.sleep(_LOOK_SECONDS)
            jobs = (await self.fleet.jobs(batch_id=batch.batch_id, state=State.SUCCEEDED, limit=1)).jobs
        first = time.monotonic() - began
        result = await self.fleet.result(batch_id=batch.batch_id, wait_seconds=LONGEST_WAIT_SECONDS)
        assert isinstance(result, BatchResult)
        check(self.name, result.counts.succeeded, tasks)
        return first


class ThroughMcp:
    """Our server over stdio."""

    def __init__(self, name: str, client: Client, pid: int) -> None:
        self.name = name
        self.servers: Sequence[int] = (pid,)
        self.client = client

    async def work(self, tasks: Sequence[str]) -> None:
        """As the contender does it."""
        result = await self.client.call_tool("dispatch_many", {"tasks": list(tasks)})
        assert result.structured_content is not None
        check(self.name, result.structured_content["counts"]["succeeded"], tasks)


class CommandLine:
    """`picoclaw-fleet map`: a new process each time, and so new connections."""

    def __init__(self, name: str, lab: Lab, count: int) -> None:
        self.name = name
        self.servers: Sequence[int] = ()
        self._environment = environment(lab, count, "command-line")

    async def work(self, tasks: Sequence[str]) -> float | None:
        """As the contender does it."""
        lines = "".join(f"{task}\n" for task in tasks)
        words = (str(COMMAND), "map", "--file", "-", "--json", "--quiet")
        output = await said(*words, environment=self._environment, stdin=lines.encode(), mark=_JOB, stderr=DEVNULL)
        events = [json.loads(line) for line in output.text.splitlines()]
        check(self.name, sum(event.get("state") == State.SUCCEEDED for event in events), tasks)
        return output.first


@asynccontextmanager
async def through_fleet(lab: Lab, count: int, name: str = "Fleet") -> AsyncGenerator[ThroughFleet]:
    """Our library on the first hosts."""
    async with _fleet(lab, count) as fleet:
        yield ThroughFleet(name, fleet)


@asynccontextmanager
async def first_answer(lab: Lab, count: int, name: str) -> AsyncGenerator[FirstAnswer]:
    """Our library on the first hosts, with an eye on the first answer."""
    async with _fleet(lab, count) as fleet:
        yield FirstAnswer(name, fleet)


@asynccontextmanager
async def through_mcp(lab: Lab, count: int, name: str = "MCP over stdio") -> AsyncGenerator[ThroughMcp]:
    """Our server on the first hosts."""
    before = set(Processes().below(os.getpid()))
    server = StdioServerParameters(command=str(COMMAND), env=environment(lab, count, "mcp"))
    async with Client(server) as client:
        (pid,) = set(Processes().below(os.getpid())) - before
        yield ThroughMcp(name, client, pid)


async def install_runner(lab: Lab, count: int) -> None:
    """Has each of the first hosts done a job once, so that our runner lies there, as it does after the first time."""
    async with _fleet(lab, count) as fleet:
        result = await fleet.dispatch_many([Assignment(task="hello")], hosts=["all"], mode="broadcast")
        assert result.counts.succeeded == count, result.summary


def environment(lab: Lab, count: int, state: str) -> dict[str, str]:
    """What our programs are started with: the first hosts, and a new state folder named so."""
    return {
        "HOME": str(lab.folder),
        "PATH": os.environ["PATH"],
        "PICOCLAW_FLEET_CONFIG": str(lab.config(count)),
        "PICOCLAW_FLEET_STATE_DIR": tempfile.mkdtemp(prefix=f"state-{state}-", dir=lab.folder),
    }


def _fleet(lab: Lab, count: int) -> Fleet:
    return Fleet(ConfigSource(lab.config(count)), state=Path(tempfile.mkdtemp(prefix="state-", dir=lab.folder)))
