"""A controller of its own that deploys to one host and prints each step: tests kill it. Its order is JSON on stdin."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import anyio
from tests.servers import NOBODY

from picoclaw_fleet.jobs.board import Board
from picoclaw_fleet.releases import Releases
from picoclaw_fleet.rollout import HostProgress, Rollout
from picoclaw_fleet.transport import Pool


def tell(_name: str, progress: HostProgress) -> None:
    sys.stdout.write(f"{progress.step}\n")
    sys.stdout.flush()


async def main() -> None:
    order = json.loads(sys.stdin.readline())
    host = replace(NOBODY, **order["host"] | {"ssh_key": Path(order["host"]["ssh_key"])})
    releases = Releases([order["repository"]], order["api"], None, Path(order["cache"]), allow_unverified=False)
    async with Pool() as pool, anyio.create_task_group() as tasks:
        rollout = Rollout(pool, Board(pool), tasks)
        await rollout.watch(rollout.deploy([host], releases, version=order["version"]), tell)
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main)
