"""The command as a process of its own, spoken to in lines of JSON, where a client's comfort hides things."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.embedded_fleet import COMMAND
from tests.quick_start import quick_command

# One line of the reply may hold a whole page of output.
_LONGEST_LINE = 1 << 20


class Wire:
    """A server process.

    Args:
        process: With pipes for all three streams.

    Attributes:
        pid: The server's, if it is the installed command.
        lines: Every line it has printed on stdout so far.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin and process.stdout and process.stderr
        self.pid = process.pid
        self.lines: list[bytes] = []
        self._process = process
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self._last_id = 1_000_000_000  # far from what is sent by hand

    async def initialize(self) -> dict[str, Any]:
        """Shakes hands as clients of 2025 do, and returns the server's part."""
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "wire", "version": "1"}}
        answer = await self.request("initialize", hello)
        self.send({"method": "notifications/initialized"})
        return answer

    def send(self, message: Mapping[str, Any]) -> None:
        """Sends one message."""
        self._stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def send_raw(self, line: bytes) -> None:
        """Sends what may be no message at all."""
        self._stdin.write(line + b"\n")

    def ask(self, method: str, params: Mapping[str, Any]) -> int:
        """Sends a request without waiting, and returns its id."""
        self._last_id += 1
        self.send({"id": self._last_id, "method": method, "params": params})
        return self._last_id

    async def request(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Sends a request and waits for its result."""
        wanted = self.ask(method, params)
        while line := await self._stdout.readline():
            self.lines.append(line)
            message = json.loads(line)
            if message.get("id") == wanted:
                return message["result"]
        raise EOFError((await self._stderr.read()).decode())

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Calls a tool and returns its structured content."""
        result = await self.request("tools/call", {"name": tool, "arguments": arguments})
        assert not result.get("isError"), result
        return result["structuredContent"]

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    def end_stdin(self) -> None:
        """Ends its stdin."""
        self._stdin.close()

    async def end(self) -> tuple[int, str]:
        """Waits for its end, and returns its exit status and what it printed on stderr."""
        self.lines += (await self._stdout.read()).splitlines(keepends=True)
        errors = await self._stderr.read()
        return await self._process.wait(), errors.decode()

    def memory(self, line: str = "VmRSS") -> int:
        """Its memory in bytes: VmRSS now, VmHWM at most so far."""
        status = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(entry.split()[1]) << 10 for entry in status if entry.startswith(f"{line}:"))


@asynccontextmanager
async def wire(environment: Mapping[str, str], *arguments: str, installed: bool = False) -> AsyncGenerator[Wire]:
    """Starts the command; kills it in the end if it is still there.

    Args:
        environment: All of its environment.
        arguments: Its words.
        installed: Whether it is to be the installed command: its start, its end, its memory and files are the point.
    """
    process = await asyncio.create_subprocess_exec(
        *(COMMAND if installed else quick_command(), *arguments),
        env=dict(environment),
        limit=_LONGEST_LINE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    server = Wire(process)
    try:
        yield server
    finally:
        if process.returncode is None:
            process.kill()
        server.end_stdin()
        await server.end()
