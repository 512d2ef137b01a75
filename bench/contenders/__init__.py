"""The contenders: each hands out the same tasks to the same hosts, in the way its documentation gives."""

from __future__ import annotations

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

    async def work(self, tasks: Sequence[str]) -> None:
        """Does all tasks, wherever it likes; fails unless all are done."""
        ...
