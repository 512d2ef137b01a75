"""What the tests of the jobs layer share: processes on one ledger, and controllers of a fleet of embedded hosts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from tests.embedded_fleet import EmbeddedFleet

from picoclaw_fleet.config.file import ConfigSource
from picoclaw_fleet.errors import State
from picoclaw_fleet.fleet import Fleet
from picoclaw_fleet.jobs.ledger import Ledger
from picoclaw_fleet.jobs.model import Job

SECONDS = 30.0
"""Everything that a test waits for comes sooner than that."""

COUNTED = 'echo 1 >>"{log}"; sleep {seconds}; echo -1 >>"{log}"'
"""For the knob `exec`: the running sum of the log's lines is how many run at once."""

# The stand-in is a Python program, and a thousand of those are half a minute of a machine's time.
SMALL_PICOCLAW = """\
#!/bin/sh
for task; do :; done
case $task in version | /*) ;; *) echo "$task" >>"$HOME/tasks.log" ;; esac
printf '\\n🦞 did %s\\n' "$task"
""".encode()


def make_jobs(count: int = 1, batch_id: str = "", hosts: tuple[str, ...] = ("ada", "bob")) -> list[Job]:
    """New jobs, as the intake makes them."""
    return [Job(f"task {number}", hosts, 60, batch_id) for number in range(count)]


def end(job: Job, state: State = State.SUCCEEDED) -> Job:
    """Ends a job as a watch would."""
    job.fail(None, "", host=job.host)  # pyright: ignore[reportArgumentType]
    job.state = state
    return job


@asynccontextmanager
async def process(folder: Path) -> AsyncGenerator[Ledger]:
    """One process's ledger on the file that all of them share."""
    ledger = Ledger(folder / "ledger.sqlite")
    await ledger.open()
    try:
        yield ledger
    finally:
        await ledger.aclose()


async def die(ledger: Ledger) -> None:
    """Ends a process as kill -9 does: the kernel frees its lock and closes its files, and nothing more is written."""
    commits = ledger._commits  # pyright: ignore[reportPrivateUsage]
    if commits is not None:
        await asyncio.wait([commits])
    ledger._dirty.clear()  # pyright: ignore[reportPrivateUsage]
    ledger._database.close()  # pyright: ignore[reportPrivateUsage]
    ledger._holder.end()  # pyright: ignore[reportPrivateUsage]


@asynccontextmanager
async def controller(fleet: EmbeddedFleet, state: Path | None = None) -> AsyncGenerator[Fleet]:
    """A process that serves a fleet; two on one state folder are two processes on one ledger."""
    async with Fleet(ConfigSource(fleet.config), state=state or fleet.state) as opened:
        yield opened


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Waits for something that nobody announces."""
    with anyio.fail_after(SECONDS):
        while not await condition():  # noqa: ASYNC110
            await anyio.sleep(0.05)


def most_at_once(log: Path) -> int:
    """How many ran at once at most, by a log that COUNTED wrote; all of them have ended."""
    running, most = 0, 0
    for line in log.read_text().split():
        running += int(line)
        most = max(most, running)
    assert running == 0
    return most


def tasks_done(home: Path) -> list[str]:
    """What SMALL_PICOCLAW was given on a host, in order."""
    log = home / "tasks.log"
    return log.read_text().splitlines() if log.exists() else []
