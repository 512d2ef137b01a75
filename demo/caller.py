"""Whoever calls the tools in the demo, and shows what he calls and gets."""

from __future__ import annotations

from typing import Any

from demo.screen import Screen
from mcp import Client
from mcp.types import TextContent


class RefusedError(Exception):
    """The server did not do what it was asked for, and has said why."""


class Caller:
    """Makes calls.

    Args:
        client: Connected to the server.
        screen: Where to show them.

    Attributes:
        reports: How often progress was told.
    """

    def __init__(self, client: Client, screen: Screen) -> None:
        self._client = client
        self._screen = screen
        self.reports = 0

    async def __call__(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Makes a call; returns its structured result.

        Raises:
            RefusedError: There is none.
        """
        self._screen.call(tool, arguments)
        result = await self._client.call_tool(tool, arguments, progress_callback=self._note_progress)
        for content in result.content:
            if isinstance(content, TextContent):
                self._screen.reply(content.text)
        if result.is_error or result.structured_content is None:
            raise RefusedError(f"{tool} was refused")
        return result.structured_content

    async def _note_progress(self, progress: float, total: float | None, message: str | None) -> None:
        self.reports += 1
        self._screen.progress(progress, message or "")
