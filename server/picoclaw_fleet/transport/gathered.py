"""What asyncssh writes in one go, sent in one go."""

from __future__ import annotations

import asyncio
from typing import Any


class Gathered(asyncio.Transport):
    """Sends what is written in one turn of the event loop in one piece.

    asyncssh (2.24) writes its messages one by one: each is a system call here, a packet on the way, and wakes sshd up.

    Args:
        transport: Where it goes.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__()
        self._transport = transport
        self._pieces: list[bytes] = []

    def write(self, data: Any) -> None:
        """Send bytes, in a moment."""
        if not self._pieces:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pieces.append(data)

    def abort(self) -> None:
        """Close the connection; what was written in this turn is lost."""
        self._transport.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What is known of the connection."""
        return self._transport.get_extra_info(name, default)

    def _flush(self) -> None:
        pieces, self._pieces = self._pieces, []
        self._transport.write(b"".join(pieces))
