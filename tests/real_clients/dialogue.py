"""A process that is spoken to in lines of JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

_PATIENCE = 60
_LONGEST_LINE = 1 << 24


class Dialogue:
    """Says and hears messages.

    Args:
        process: With pipes for stdin and stdout.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin and process.stdout
        self._stdin, self._stdout = process.stdin, process.stdout
        self._heard: list[bytes] = []

    def say(self, message: Mapping[str, Any]) -> None:
        """Sends one message."""
        self._stdin.write(json.dumps(message).encode() + b"\n")

    async def hear(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Waits for a message; others that come before it are passed over."""
        with anyio.fail_after(_PATIENCE):
            while line := await self._stdout.readline():
                self._heard.append(line)
                message = json.loads(line)
                if wanted(message):
                    return message
        raise AssertionError(f"the answer did not come: {self._heard}")

    @classmethod
    @asynccontextmanager
    async def started(
        cls, command: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> AsyncGenerator[Dialogue]:
        """Starts a process in a folder; in the end its stdin is closed, and it has to end well."""
        with (folder / "stderr").open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                limit=_LONGEST_LINE,
                env=dict(environment),
                cwd=folder,
            )
        try:
            dialogue = cls(process)
            yield dialogue
            dialogue._stdin.close()
            with anyio.fail_after(_PATIENCE):
                await dialogue._stdout.read()
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
