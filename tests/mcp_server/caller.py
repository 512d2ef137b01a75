"""Calling tools as a client does, and checking on the way what has to hold for every reply."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jsonschema
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.dispatcher import ProgressFnT
from mcp.types import TextContent
from tests.quick_start import quick_command

Era = Literal["auto", "legacy"]
"""auto: the client asks for the newest protocol and gets it; legacy: it starts with initialize."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a call returned."""

    text: str
    data: dict[str, Any]


class Caller:
    """Calls the tools of one client.

    Args:
        client: Connected.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._schemas: dict[str, str] = {}

    async def __call__(self, tool: str, /, *, on_progress: ProgressFnT | None = None, **arguments: Any) -> Reply:
        """Calls a tool that does something; its structured content has to be as was published."""
        text, data, is_error = await self._call(tool, arguments, on_progress)
        assert not is_error, text
        assert data is not None, "some clients show nothing but the structured content"
        _check(await self._schema(tool)).validate(data)  # pyright: ignore[reportUnknownMemberType]
        assert data["summary"] in text, "some clients show nothing but the text"
        return Reply(text, data)

    async def refusal(self, tool: str, /, **arguments: Any) -> str:
        """Calls a tool that does nothing and says why."""
        text, data, is_error = await self._call(tool, arguments, None)
        assert is_error, text
        assert data is None, "clients show text or structured content of an error, so there is only one"
        return text

    async def _call(
        self, tool: str, arguments: dict[str, Any], on_progress: ProgressFnT | None
    ) -> tuple[str, dict[str, Any] | None, bool]:
        result = await self.client.call_tool(tool, arguments, progress_callback=on_progress)
        (content,) = result.content
        assert isinstance(content, TextContent)
        return content.text, result.structured_content, bool(result.is_error)

    async def _schema(self, tool: str) -> str:
        if not self._schemas:
            tools = (await self.client.list_tools()).tools
            self._schemas = {one.name: json.dumps(one.output_schema) for one in tools}
        return self._schemas[tool]


@cache
def _check(schema: str) -> jsonschema.Draft202012Validator:
    """What checks data by a schema. Checking the schema itself takes longer, so that is done once."""
    jsonschema.Draft202012Validator.check_schema(json.loads(schema))
    return jsonschema.Draft202012Validator(json.loads(schema))


@asynccontextmanager
async def stdio(environment: Mapping[str, str], era: Era, log: Path, *args: str) -> AsyncGenerator[Client]:
    """A client that has started the installed command; what that prints on stderr goes to `log`."""
    server = StdioServerParameters(command=quick_command(), args=list(args), env=dict(environment))
    with log.open("a") as errors:
        async with Client(stdio_client(server, errors), mode=era) as client:
            yield client
