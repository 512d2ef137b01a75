"""Programs that are started for each round, or several times in it, and print what the workers say."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.contenders import DONE, check, plain_command

ROUND_SECONDS = 120
"""When a round is given up."""


@dataclass(frozen=True)
class Said:
    """What a program has printed.

    Attributes:
        text: All of it.
        first: After how many seconds the first answer was in it; None for never.
    """

    text: str
    first: float | None

    @property
    def done(self) -> int:
        """How many answers are in it."""
        return self.text.count(DONE)


async def said(
    *command: str,
    environment: Mapping[str, str] | None = None,
    stdin: bytes = b"",
    mark: str = DONE,
    stderr: int = asyncio.subprocess.STDOUT,
) -> Said:
    """Runs a program to its end.

    Args:
        command: Its words.
        environment: What it gets besides this process's environment.
        stdin: What it can read.
        mark: What an answer holds.
        stderr: Where its stderr goes: to stdout, unless it is told otherwise.
    """
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    text, first = bytearray(), None
    try:
        async with asyncio.timeout(ROUND_SECONDS):
            process.stdin.write(stdin)
            process.stdin.close()
            while chunk := await process.stdout.read(1 << 16):
                text += chunk
                if first is None and mark.encode() in text:
                    first = time.monotonic() - began
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Said(text.decode(errors="replace"), first)


async def one_task_for_all(
    name: str, tasks: Sequence[str], hosts: int, run: Callable[[str], Awaitable[Said]]
) -> float | None:
    """Does the tasks with a tool that gives all hosts the same one, calling it again and again.

    Args:
        name: The contender's.
        tasks: Of these, every `hosts`-th is done on all hosts.
        hosts: How many there are.
        run: Calls the tool with a command for all hosts.

    Returns:
        After how many seconds the first answer was there.
    """
    outputs = [await run(plain_command(task)) for task in tasks[::hosts]]
    check(name, sum(output.done for output in outputs), tasks, outputs[-1].text)
    return outputs[0].first
