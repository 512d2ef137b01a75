"""How soon our server answers after its start, next to a bare MCP server."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE

from bench import bare_server
from bench.contenders.ours import COMMAND
from bench.cpu import Processes
from bench.figures import Goal, Measurement
from bench.memory import peak_mb

_STARTS_PER_ROUND = 4
_ANSWER_SECONDS = 30
_GOAL = "initialize is answered, from the start of the process, within 1.25 times the time of a bare MCP server"
_NOTE = (
    "From starting the process until the answer to initialize is there, over stdio. The bare server has one tool, the "
    "same interpreter and the same SDK, whose import takes most of the time."
)
_INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "1"},
    },
}


async def measure(rounds: int, *, quick: bool) -> Measurement:
    """Both in turn, many times."""
    bare = Server("bare MCP server with one tool", sys.executable, bare_server.__file__)
    ours = Server("picoclaw-fleet", str(COMMAND))
    starts = 2 if quick else rounds * _STARTS_PER_ROUND
    for _ in range(starts + 1):
        for server in (bare, ours):
            await server.start()
    return Measurement(
        "start",
        f"Start of the server, {starts} times",
        [server.row(bare) for server in (bare, ours)],
        goals=(Goal(11, _GOAL, ours.wall / bare.wall, 1.25),),
        notes=(_NOTE,),
    )


class Server:
    """A command that serves MCP on stdio, and what its starts took.

    Args:
        name: As shown in the table.
        command: Its words.
    """

    def __init__(self, name: str, *command: str) -> None:
        self.name = name
        self._command = command
        self._walls: list[float] = []
        self._cpu: list[float] = []
        self._memory: list[float] = []

    @property
    def wall(self) -> float:
        """The median in seconds. The first start, which may find nothing in the page cache, doesn't count."""
        return statistics.median(self._walls[1:])

    def row(self, reference: Server) -> dict[str, object]:
        """Medians, and the ratio to the reference."""
        return {
            "server": self.name,
            "answer_s": round(self.wall, 3),
            "ratio": round(self.wall / reference.wall, 2),
            "cpu_s": round(statistics.median(self._cpu[1:]), 3),
            "memory_mb": round(statistics.median(self._memory[1:])),
        }

    async def start(self) -> None:
        """Starts it, waits for its answer, and ends it."""
        with tempfile.TemporaryDirectory() as home:
            environment = {"HOME": home, "PATH": os.environ["PATH"]}
            began = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment
            )
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.write(json.dumps(_INITIALIZE).encode() + b"\n")
                answer = await asyncio.wait_for(process.stdout.readline(), _ANSWER_SECONDS)
                self._walls.append(time.monotonic() - began)
                assert json.loads(answer)["result"]["serverInfo"], answer
                self._cpu.append(Processes().seconds([process.pid]))
                self._memory.append(peak_mb(process.pid))
            finally:
                process.kill()
                await process.wait()
