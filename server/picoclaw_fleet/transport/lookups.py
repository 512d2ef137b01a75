"""Looking up names: by threads of our own, which nobody has to wait for.

The system's resolver can't be interrupted, and a DNS that doesn't answer holds it up for long. An executor's threads
are waited for when the process ends; these are not.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Any

MAX_LOOKUPS = 32

Candidates = list[tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]]


class Lookups:
    """Looks up names, some at once; the rest waits for its turn.

    Whoever waits may be cancelled. His thread keeps its place until the resolver gives up.
    """

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(MAX_LOOKUPS)

    async def addresses(self, name: str, port: int, family: int) -> Candidates:
        """What a TCP connection to that name can be made to.

        Raises:
            OSError: The name has no address.
        """
        try:  # it may be an address already, which takes no resolver
            return socket.getaddrinfo(name, port, family, socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except UnicodeError as error:
            raise socket.gaierror(socket.EAI_NONAME, "no host can have that name") from error
        except OSError:
            pass
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        found: asyncio.Future[Candidates] = loop.create_future()

        def tell(candidates: Candidates, error: Exception | None) -> None:
            self._places.release()
            if found.done():
                return
            if error is None:
                found.set_result(candidates)
            else:
                found.set_exception(error)

        def look_up() -> None:
            candidates: Candidates = []
            error: Exception | None = None
            try:
                candidates = socket.getaddrinfo(name, port, family, socket.SOCK_STREAM)
            except Exception as raised:  # it belongs to who asked
                error = raised
            with suppress(RuntimeError):  # the loop is closed: nobody wants to know any more
                loop.call_soon_threadsafe(tell, candidates, error)

        try:
            threading.Thread(target=look_up, name="picoclaw-fleet-dns", daemon=True).start()
        except RuntimeError as error:
            self._places.release()
            raise OSError(f"no thread to look up {name}") from error
        return await found
