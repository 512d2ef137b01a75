"""The contenders: each hands out the same tasks to the same hosts, in the way its documentation gives."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Protocol

FAST_OPENSSH = ("KexAlgorithms curve25519-sha256", "Ciphers aes128-gcm@openssh.com")
"""The algorithms that cost least, for an ssh_config."""

DONE = "🦞 done"
"""What a worker says when it has done a task."""


class Contender(Protocol):
    """Something that hands out tasks.

    Attributes:
        name: As shown in the tables.
        servers: Its long-lived processes, whose CPU counts as its. Without any, that of this process counts.
            Processes that it starts and waits for count in any case.
    """

    name: str
    servers: Sequence[int]

    async def work(self, tasks: Sequence[str]) -> float | None:
        """Does all tasks, wherever it likes; fails unless all are done.

        Returns:
            After how many seconds the first answer was there, if that can be seen.
        """
        ...


def plain_command(task: str) -> str:
    """What runs the worker without any care."""
    return f"cd; .local/bin/picoclaw agent -m {shlex.quote(task)}"


def check(name: str, done: int, tasks: Sequence[str], said: str = "") -> None:
    """Fails unless all tasks were done, with the end of what was said."""
    if done != len(tasks):
        raise RuntimeError(f"{name}: {done} of {len(tasks)} tasks were done\n{said[-2000:]}")
