"""A thousand jobs through one server, and as many more as one likes: it holds on to nothing of them.

PICOCLAW_FLEET_LEAK_JOBS  how many (`make soak` has it do 10,000), a thousand at a time; 1,000 by default
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import anyio
import pytest
from tests.embedded_fleet import EmbeddedFleet
from tests.jobs.scenario import SMALL_PICOCLAW, until
from tests.mcp_server.wire import Wire, wire

JOBS = int(os.environ.get("PICOCLAW_FLEET_LEAK_JOBS", "1000"))
AT_A_TIME = min(JOBS, 1000)
ROUNDS = JOBS // AT_A_TIME
HOSTS = 20
ROUND_SECONDS = 240
SETTLED_AFTER = 4
"""Rounds until all caches are filled and the heap has found its size."""

MOST_GROWTH = 6 << 20
"""Of the memory in the second half of a long run: less than a kilobyte for each job of ten thousand."""


@pytest.mark.timeout(ROUNDS * ROUND_SECONDS + 60)
async def test_many_jobs_on_twenty_hosts_are_all_done_and_nothing_of_them_stays(tmp_path: Path) -> None:
    async with EmbeddedFleet(tmp_path / "fleet") as fleet:
        for number in range(HOSTS):
            await fleet.add(f"h{number:02}", picoclaw=SMALL_PICOCLAW, slots=4)
        fleet.write_config()
        async with wire(fleet.environment, installed=True) as server:
            await server.initialize()
            await server.call("fleet_status")
            files, memory = _files(server), [server.memory()]
            for number in range(ROUNDS):
                with anyio.fail_after(ROUND_SECONDS):
                    await _round(server, [f"task {number * AT_A_TIME + task}" for task in range(AT_A_TIME)])
                memory.append(server.memory())
                _tell(f"{(number + 1) * AT_A_TIME} jobs: {memory[-1] >> 10} KB, {_files(server)} files")

            async def all_is_given_back() -> bool:
                return _files(server) == files

            await until(all_is_given_back)
            server.end_stdin()
            assert await server.end() == (0, "")
        done = [task for host in fleet.hosts.values() for task in _tasks_in(host.home / "tasks.log")]
    assert sorted(done) == sorted(f"task {number}" for number in range(ROUNDS * AT_A_TIME))
    if ROUNDS > 2 * SETTLED_AFTER:
        assert memory[-1] - min(memory[ROUNDS // 2 :]) < MOST_GROWTH, memory


async def _round(server: Wire, tasks: list[str]) -> None:
    batch = await server.call("dispatch_many", tasks=tasks, wait_seconds=50)
    while batch["counts"]["queued"] + batch["counts"]["running"]:
        batch = await server.call("job_result", batch_id=batch["batch_id"], wait_seconds=50)
    assert batch["counts"]["succeeded"] == len(tasks)
    assert len(batch["jobs"]) == 50
    server.lines.clear()


def _files(server: Wire) -> int:
    return len(list(Path(f"/proc/{server.pid}/fd").iterdir()))


def _tasks_in(log: Path) -> list[str]:
    """What SMALL_PICOCLAW ran; its readiness was asked for as well."""
    return [line for line in log.read_text().splitlines() if line.startswith("task ")]


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
