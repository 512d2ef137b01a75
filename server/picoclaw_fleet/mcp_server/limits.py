"""How much one caller may ask for, and how long he may take to say it."""

from __future__ import annotations

import logging
from asyncio import TimerHandle, Transport
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import anyio
from starlette.types import Message, Receive
from uvicorn.protocols.http.h11_impl import H11Protocol

logger = logging.getLogger(__name__)

REQUEST_SECONDS = 10.0
"""How long a connection may wait before its first or next request, the request's headers included."""

BODY_SECONDS = 20.0
"""How long the body of a request may take."""


class Refusal(Exception):  # noqa: N818  an answer, not an error
    """A request that is answered with an HTTP status of its own.

    Args:
        status: The status.
        text: What is wrong with the request, and what to do.
        headers: Further headers of the answer.
    """

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers


class Limits:
    """Keeps count of what is under way.

    Args:
        requests: How many requests a caller may have under way at once.
        body: The largest body in bytes.
    """

    def __init__(self, *, requests: int, body: int) -> None:
        self._most = requests
        self._largest = body
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def place(self, caller: str) -> Generator[None]:
        """Takes up one of a caller's places.

        Raises:
            Refusal: All are taken.
        """
        if self._under_way[caller] >= self._most:
            text = f"{self._most} requests are under way already; try again when one has ended."
            raise Refusal(429, text, **{"Retry-After": "5"})
        self._under_way[caller] += 1
        try:
            yield
        finally:
            self._under_way[caller] -= 1
            if not self._under_way[caller]:
                del self._under_way[caller]

    async def whole(self, receive: Receive, declared: str) -> Receive:
        """Takes in the whole body of a request, and returns from where to receive it anew.

        Args:
            receive: The request.
            declared: Its Content-Length header; empty without one.

        Raises:
            Refusal: The body is too large, or takes too long.
        """
        if declared.isdecimal() and int(declared[:20]) > self._largest:
            raise self._too_large()
        body = bytearray()
        message: Message = {}
        with anyio.move_on_after(BODY_SECONDS) as patience:
            while (message := await receive())["type"] == "http.request":
                body += message.get("body", b"")
                if len(body) > self._largest:
                    raise self._too_large()
                if not message.get("more_body", False):
                    message = {"type": "http.request", "body": bytes(body), "more_body": False}
                    break
        if patience.cancelled_caught:
            raise Refusal(408, f"The body did not arrive within {BODY_SECONDS:g} seconds.")
        kept = [message]

        async def again() -> Message:
            return kept.pop() if kept else await receive()

        return again

    def _too_large(self) -> Refusal:
        return Refusal(413, f"The body has more than {self._largest:,} bytes.")


class PunctualProtocol(H11Protocol):
    """Closes connections that don't come to the point; uvicorn (0.54) waits for a request as long as it takes."""

    _due: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """A connection was made: its first request is awaited."""
        super().connection_made(transport)
        self._expect_request(None)

    def on_response_complete(self) -> None:
        """A request was answered: the next one is awaited."""
        answered = self.cycle
        super().on_response_complete()
        self._expect_request(answered)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._stop_expecting()
        super().connection_lost(exc)

    def _expect_request(self, before: Any) -> None:
        self._stop_expecting()
        self._due = self.loop.call_later(REQUEST_SECONDS, self._close_unless_new, before)

    def _stop_expecting(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _close_unless_new(self, before: Any) -> None:
        if self.cycle is before:
            self.transport.close()
