"""Several server processes on one ledger, and controllers with ledgers of their own: the host's slots are its own."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest
from tests.embedded_fleet import EmbeddedFleet
from tests.jobs.scenario import SECONDS, most_at_once
from tests.mcp_server.wire import Wire, wire

SLOTS = 3
# It counts itself in and out; the stand-in, a Python program, would take longer than all that is told apart here.
COUNTING = """\
#!/bin/sh
for task; do :; done
case $task in
version | /*) ;;
*) echo 1 >>"$HOME/running.log"; sleep 0.1; echo -1 >>"$HOME/running.log" ;;
esac
printf '\\n🦞 did %s\\n' "$task"
"""


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[EmbeddedFleet]:
    async with EmbeddedFleet(tmp_path / "fleet") as fleet:
        for name in ("ada", "bob"):
            await fleet.add(name, picoclaw=COUNTING.encode(), slots=SLOTS)
        fleet.write_config()
        yield fleet


async def _servers(fleet: EmbeddedFleet, stack: AsyncExitStack) -> list[Wire]:
    """Four processes: three share a ledger, one has its own."""
    servers: list[Wire] = []
    for number in range(4):
        state = fleet.folder / ("other" if number == 3 else "state")
        environment = {**fleet.environment, "PICOCLAW_FLEET_STATE_DIR": str(state)}
        servers.append(await stack.enter_async_context(wire(environment)))
    async with anyio.create_task_group() as tasks:
        for server in servers:
            tasks.start_soon(server.initialize)
    return servers


@pytest.mark.timeout(180)
async def test_a_hundred_jobs_of_four_processes_and_two_ledgers_never_take_more_than_the_slots(
    fleet: EmbeddedFleet,
) -> None:
    async def work(server: Wire) -> None:
        batch = await server.call("dispatch_many", tasks=[f"task {number}" for number in range(25)], wait_seconds=20)
        while batch["counts"]["queued"] + batch["counts"]["running"]:
            batch = await server.call("job_result", batch_id=batch["batch_id"], wait_seconds=20)
        assert batch["counts"]["succeeded"] == 25, batch

    with anyio.fail_after(150):
        async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
            for server in await _servers(fleet, stack):
                tasks.start_soon(work, server)
    for host in fleet.hosts.values():
        assert most_at_once(host.home / "running.log") <= SLOTS


@pytest.mark.timeout(120)
async def test_what_a_killed_process_held_is_given_back(fleet: EmbeddedFleet) -> None:
    """Its slots on the hosts, and its jobs to the next process on the ledger, which brings each of them to its end."""
    async with wire(fleet.environment) as first:
        await first.initialize()
        batch = await first.call("dispatch_many", tasks=["x"] * 12, wait_seconds=0)
        with anyio.fail_after(SECONDS):
            while not (await first.call("jobs", state="running"))["total"]:
                pass
        first.signal(signal.SIGKILL)
        await first.end()
    async with wire(fleet.environment) as second:
        await second.initialize()
        with anyio.fail_after(2 * SECONDS):
            counts = (await second.call("job_result", batch_id=batch["batch_id"], wait_seconds=50))["counts"]
        assert counts["succeeded"] == 12
        status = await second.call("fleet_status")
        assert [(host["running"], host["free_slots"]) for host in status["hosts"]] == [(0, SLOTS)] * 2
    lines = [line for host in fleet.hosts.values() for line in (host.home / "running.log").read_text().split()]
    assert lines.count("1") == 12
