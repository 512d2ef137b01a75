"""A controller of its own that deploys to one host and tells each step: tests kill it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path

import anyio

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.jobs.board import Board
from picoclaw_fleet.releases import Releases
from picoclaw_fleet.rollout import HostProgress, Rollout
from picoclaw_fleet.transport import Pool


def deploy(
    host: Host, repository: str, api: str, cache: Path, version: str, keys: Mapping[str, str], steps: Connection
) -> None:
    """Deploys, as the main function of a process.

    Args:
        host: Where.
        repository: Where the release is.
        api: GitHub's.
        cache: For downloads.
        version: Of the release.
        keys: What the environment is to have besides.
        steps: Where the steps are sent to, and in the end the outcome.
    """
    os.environ.update(keys)
    anyio.run(_deploy, host, Releases([repository], api, None, cache, allow_unverified=False), version, steps)


async def _deploy(host: Host, releases: Releases, version: str, steps: Connection) -> None:
    def tell(_name: str, progress: HostProgress) -> None:
        steps.send(str(progress.step))

    async with Pool() as pool, anyio.create_task_group() as tasks:
        rollout = Rollout(pool, Board(pool), tasks)
        await rollout.watch(rollout.deploy([host], releases, version=version), tell)
        tasks.cancel_scope.cancel()
