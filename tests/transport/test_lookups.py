"""Names that nobody resolves: they hold up neither other names for ever, nor the end of the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from picoclaw_fleet.transport.lookups import MAX_LOOKUPS

ROOT = Path(__file__).parents[2]
HOSTS = MAX_LOOKUPS + 8

# Instead of the system's resolver there is one that never comes back, but for asyncssh's question whether a name is a
# number: a DNS that is mute takes root to set up.
PROCESS = f"""
import socket, threading
from dataclasses import replace

import anyio
from tests.servers import NOBODY

from picoclaw_fleet.errors import HostError
from picoclaw_fleet.transport import Pool

numeric = socket.getaddrinfo
socket.getaddrinfo = lambda *what, **how: numeric(*what, **how) if how else threading.Event().wait()


async def connect(pool, number):
    try:
        await pool.connect(replace(NOBODY, name=f"h{{number}}", address=f"h{{number}}.invalid", connect_timeout=1))
    except HostError as error:
        print(error.reason)


async def main():
    async with Pool() as pool:
        async with anyio.create_task_group() as tasks:
            for number in range({HOSTS}):
                tasks.start_soon(connect, pool, number)
        print(sum(thread.name == "picoclaw-fleet-dns" for thread in threading.enumerate()))


anyio.run(main)
"""


def test_a_process_ends_while_names_are_still_looked_up(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", PROCESS],
        cwd=ROOT,
        env={"HOME": str(tmp_path), "PYTHONPATH": f"{ROOT}:{ROOT / 'server'}"},
        capture_output=True,
        text=True,
        timeout=40,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    *reasons, threads = ended.stdout.split()
    assert reasons == ["connect_timeout"] * HOSTS
    assert int(threads) == MAX_LOOKUPS
