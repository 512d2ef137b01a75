"""A server of ours over HTTP, as a process of its own, and clients of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from tests.mcp_server.caller import Caller, Era
from tests.quick_start import quick_command

from picoclaw_fleet.bearer_token import digest_of, new_token

START_SECONDS = 30
ANNOUNCED = "Serving MCP at "
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}},
}
BOTH_KINDS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


class Served:
    """A server process.

    Args:
        process: With a pipe for stderr.
        url: Where it serves MCP.
        said: What it has printed so far.
    """

    def __init__(self, process: asyncio.subprocess.Process, url: str, said: str) -> None:
        self.process = process
        self.url = url
        self.base = url.removesuffix("/mcp")
        self.port = int(self.base.rpartition(":")[2])
        self._said = said

    @asynccontextmanager
    async def client(self, token: str = "", era: Era = "auto") -> AsyncGenerator[Caller]:
        """A client that sends a token."""
        async with (
            plain_http(60, headers=bearer(token)) as http,
            Client(streamable_http_client(self.url, http_client=http), mode=era) as client,
        ):
            yield Caller(client)

    async def post(self, body: bytes | Mapping[str, Any], token: str = "", **headers: str) -> httpx2.Response:
        """Sends one request by hand."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with plain_http(30) as http:
            return await http.post(self.url, content=content, headers={**BOTH_KINDS, **bearer(token), **headers})

    async def end(self, number: int | None = None) -> tuple[int, str]:
        """Sends it a signal if one is given, waits for its end, and returns exit status and stderr."""
        if number is not None and self.process.returncode is None:
            self.process.send_signal(number)
        assert self.process.stderr is not None
        self._said += (await self.process.stderr.read()).decode()
        return await self.process.wait(), self._said


@asynccontextmanager
async def served(environment: Mapping[str, str], *options: str, place: str = "127.0.0.1:0") -> AsyncGenerator[Served]:
    """Starts the command; kills it in the end if it is still there."""
    process = await asyncio.create_subprocess_exec(
        *(quick_command(), "serve", "--http", place, *options),
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        said = ""
        with anyio.fail_after(START_SECONDS):
            while ANNOUNCED not in said:
                line = await process.stderr.readline()
                assert line, said
                said += line.decode()
        server = Served(process, said.partition(ANNOUNCED)[2].strip(), said)
        await _until_answered(server)
        yield server
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _until_answered(server: Served) -> None:
    """Its sockets are open before the line is printed; the answer comes when it serves."""
    async with plain_http(START_SECONDS) as http:
        assert (await http.get(f"{server.base}/health")).json() == {"status": "ok"}


def plain_http(timeout: float = 5, **options: Any) -> httpx2.AsyncClient:
    """A client that trusts everybody: to read whom the world trusts takes longer than many requests."""
    return httpx2.AsyncClient(verify=False, timeout=timeout, **options)


def bearer(token: str) -> dict[str, str]:
    """The header that carries a token; none for an empty one."""
    return {"Authorization": f"Bearer {token}"} if token else {}


def make_tokens(http: dict[str, Any], **scopes: str) -> dict[str, str]:
    """Puts tokens into the `http` section of a config: names with scopes. Returns the tokens by name."""
    tokens = {name: new_token() for name in scopes}
    http["tokens"] = [
        {"name": name, "sha256": digest_of(tokens[name]), "scopes": [scope]} for name, scope in scopes.items()
    ]
    return tokens


def lines_of(audit: Path) -> list[dict[str, Any]]:
    """The lines of an audit log."""
    return [json.loads(line) for line in audit.read_text(encoding="utf-8").splitlines()]
