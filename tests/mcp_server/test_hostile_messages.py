"""Whatever comes in, on stdin or over HTTP, the server goes on: it answers others rightly, and holds on to nothing.

PICOCLAW_FLEET_FUZZ_SECONDS  how long to go on with messages that chance has changed (`make fuzz`); a few by default
PICOCLAW_FLEET_FUZZ_SEED     decides which
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, cast

import anyio
import httpx2
import pytest
from tests.embedded_fleet import EmbeddedFleet
from tests.jobs.scenario import SMALL_PICOCLAW, until
from tests.mcp_server.hostile_messages import HELLO, MODERN, requests, table, without_end
from tests.mcp_server.served import BOTH_KINDS, Served, bearer, make_tokens, served
from tests.mcp_server.wire import Wire, wire

from picoclaw_fleet.mcp_server.server import create_server

Era = Literal["legacy", "modern"]

SECONDS = float(os.environ.get("PICOCLAW_FLEET_FUZZ_SECONDS", "0"))
SEED = int(os.environ.get("PICOCLAW_FLEET_FUZZ_SEED", "1"))
AT_A_TIME = 100
KEY = "model-key-0123456789"
READY = "1 of 1 hosts are ready, 0 out of reach."
_UNFIT = re.compile(rf"Traceback|File \"|{KEY}|pcf_")


@pytest.fixture
async def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EmbeddedFleet]:
    """One host, and a key that is in nobody's reply."""
    monkeypatch.setenv("FUZZ_KEY", KEY)
    async with EmbeddedFleet(tmp_path / "fleet") as fleet:
        await fleet.add("ada", picoclaw=SMALL_PICOCLAW)
        fleet.defaults = {"api_key_env": "FUZZ_KEY"}
        fleet.write_config()
        yield fleet


@pytest.fixture(params=["legacy", "modern"])
def era(request: pytest.FixtureRequest) -> Era:
    return request.param


@pytest.mark.timeout(SECONDS + 60)
async def test_a_server_on_stdio_answers_rightly_after_anything_and_has_no_more_tasks_and_files_than_before(
    fleet: EmbeddedFleet, era: Era, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HOME", str(fleet.home))
    monkeypatch.setenv("PICOCLAW_FLEET_STATE_DIR", str(fleet.state))
    async with _inside(fleet, monkeypatch) as server:
        if era == "legacy":
            await server.initialize()
        await _look(server, era)
        tasks, files = len(asyncio.all_tasks()), _files(server.pid)

        for raw in table(era):
            server.send_raw(raw)
        await _look(server, era)
        _check(server)
        for some in _by_chance(era):
            for raw in some:
                server.send_raw(raw)
            await _look(server, era)
            _check(server)

        async def all_is_given_back() -> bool:
            return (len(asyncio.all_tasks()), _files(server.pid)) == (tasks, files)

        await until(all_is_given_back)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_every_request_that_can_be_told_apart_is_answered_and_nothing_else_is_on_stdout(
    fleet: EmbeddedFleet,
) -> None:
    async with wire({**fleet.environment, "FUZZ_KEY": KEY}) as server:
        await server.initialize()
        for raw in table("legacy"):
            server.send_raw(raw)
        await _look(server, "legacy")
        server.end_stdin()
        status, errors = await server.end()

    asked = {message["id"] for message in requests("legacy")}
    answered = {message.get("id") for message in map(json.loads, server.lines) if "method" not in message}
    assert asked <= answered
    _check(server)
    assert status == 0
    assert not _UNFIT.search(errors), errors


async def _look(server: Wire, era: Era) -> None:
    """The question that has to be answered rightly at any time."""
    own = {"_meta": MODERN} if era == "modern" else {}
    with anyio.fail_after(30):
        answer = await server.request("tools/call", {"name": "fleet_status", "arguments": {}, **own})
    assert answer.get("structuredContent", answer).get("summary") == READY, answer


def _check(server: Wire) -> None:
    """What it has said so far is JSON-RPC, and says nothing that it should not."""
    for line in server.lines:
        message = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        assert message.keys() & {"result", "error", "method"}
        assert not _UNFIT.search(line.decode()), line
    server.lines.clear()


def _by_chance(era: Era) -> Iterator[list[bytes]]:
    """Messages that chance has changed, some at a time."""
    messages = without_end(random.Random(SEED), era)
    end = time.monotonic() + SECONDS
    while True:
        yield [next(messages) for _ in range(AT_A_TIME)]
        if time.monotonic() >= end:
            return


@asynccontextmanager
async def _inside(fleet: EmbeddedFleet, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Wire]:
    """A server in this process, where its tasks can be counted, on pipes in the place of stdin and stdout."""
    loop = asyncio.get_running_loop()
    (its_in, our_out), (our_in, its_out) = os.pipe(), os.pipe()
    with os.fdopen(its_in) as stdin, os.fdopen(its_out, "w") as stdout:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(sys, "stdout", stdout)
        reader = asyncio.StreamReader(limit=1 << 24)
        reading, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(our_in, "rb"))
        protocol = asyncio.streams.FlowControlMixin()
        writing, _ = await loop.connect_write_pipe(lambda: protocol, os.fdopen(our_out, "wb"))
        streams = SimpleNamespace(
            pid=os.getpid(), stdin=asyncio.StreamWriter(writing, protocol, None, loop), stdout=reader, stderr=reader
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(create_server(str(fleet.config)).run_stdio_async)
            try:
                yield Wire(cast("asyncio.subprocess.Process", streams))
            finally:
                streams.stdin.close()
        reading.close()
        monkeypatch.undo()


def _files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


# --- over HTTP

HEAD = "POST /mcp HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n"
CRUDE = [
    "",
    "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "GET / HTTP/9.9\r\n\r\n",
    "GET /health HTTP/1.1\r\n\r\n",
    "GET //evil.example/mcp HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET http://evil.example/mcp HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "GET /mcp/../../etc/passwd HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n",
    "CONNECT evil.example:443 HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: {host}\r\n\r\n",
    (
        "GET /mcp HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\n"
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Origin: https://evil.example\r\n\r\n"
    ),
    "GET /health HTTP/1.1\r\nHost: {host}\r\nX: a\0b\r\n\r\n",
    "GET /health HTTP/1.1\r\nHost: {host}\r\nX : y\r\n\r\n",
    "GET /health HTTP/1.1\r\nHost: {host}\r\nX: " + "y" * 200_000 + "\r\n\r\n",
    "GET /health HTTP/1.1\r\nHost: {host}\r\n" + "".join(f"X{n}: y\r\n" for n in range(30_000)) + "\r\n",
    HEAD + "Content-Length: -1\r\n\r\n{{}}",
    HEAD + "Content-Length: 99999999999999999999999\r\n\r\n{{}}",
    HEAD + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\n\r\n",
    HEAD + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n{{}}",
    HEAD + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n",
    HEAD + "Transfer-Encoding: gzip\r\n\r\n{{}}",
]
"""What no client says. Of the first word on the server may hang up."""
WAITING = [
    "POST /mcp HTT",
    HEAD,
    HEAD + "Content-Length: 100\r\n\r\n{{",
    HEAD + "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{{}}",
    HEAD + "Expect: 100-continue\r\nContent-Length: 9\r\n\r\n",
]
"""What is never said to its end, while others are served."""


@pytest.mark.timeout(2 * SECONDS + 60)
async def test_a_server_over_http_answers_rightly_after_anything_and_has_no_more_files_than_before(
    fleet: EmbeddedFleet,
) -> None:
    fleet.http |= {"max_body_kb": 256, "max_sessions": 8}
    tokens = make_tokens(fleet.http, anna="admin", ben="read")
    fleet.write_config()
    async with served({**fleet.environment, "FUZZ_KEY": KEY}) as server:
        await _look_over_http(server, tokens["ben"])
        files = _files(server.process.pid)
        said = {"host": f"127.0.0.1:{server.port}", "token": tokens["anna"]}
        async with httpx2.AsyncClient(headers={**BOTH_KINDS, **bearer(tokens["anna"])}, timeout=30) as http:
            with _unfinished([words.format(**said) for words in WAITING], server.port):
                await _say_crude_words([words.format(**said) for words in CRUDE], server.port)
                session = await _open_session(http, server)
                for which in (session, "no-such-session", "\x7f", "x" * 5000):
                    await _post(http, server, json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}).encode(), which)
                for raw in table("legacy"):
                    await _post(http, server, raw, session)
                for raw in table("modern"):
                    await _post(http, server, raw)
                for era in ("legacy", "modern"):
                    for some in _by_chance(era):
                        for raw in some[:: 1 if SECONDS else 4]:
                            await _post(http, server, raw, session if era == "legacy" else "")
                        await _look_over_http(server, tokens["ben"])
            await http.delete(server.url, headers={"mcp-session-id": session})

        async def all_is_given_back() -> bool:
            return _files(server.process.pid) <= files

        await until(all_is_given_back)
        await _look_over_http(server, tokens["ben"])
        status, errors = await server.end(signal.SIGTERM)
    assert status == 143
    assert not _UNFIT.search(errors), errors


async def _look_over_http(server: Served, token: str) -> None:
    async with server.client(token) as call:
        assert (await call("fleet_status")).data["summary"] == READY


async def _open_session(http: httpx2.AsyncClient, server: Served) -> str:
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HELLO}
    return (await http.post(server.url, json=hello)).headers["mcp-session-id"]


async def _post(http: httpx2.AsyncClient, server: Served, raw: bytes, session: str = "") -> None:
    headers = {"mcp-session-id": session} if session else _modern_headers(raw)
    answer = await http.post(server.url, content=raw, headers=headers)
    assert answer.status_code in (200, 202, 400, 404, 406, 413, 503), answer.text
    assert not _UNFIT.search(answer.text), answer.text


def _modern_headers(raw: bytes) -> dict[str, str]:
    """What the newest protocol wants to have in the headers as well, as far as it can be had."""
    with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
        message: Any = json.loads(raw)
        headers = {"MCP-Protocol-Version": "2026-07-28", "Mcp-Method": message["method"]}
        name = message["params"].get("name", message["params"].get("uri"))
        headers |= {"Mcp-Name": name} if name else {}
        if all(isinstance(value, str) and value.isascii() and value.isprintable() for value in headers.values()):
            return {key: value[:1000] for key, value in headers.items()}
    return {}


async def _say_crude_words(all_words: list[str], port: int) -> None:
    for words in all_words:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with suppress(ConnectionError):
            writer.write(words.encode("latin-1"))
            await writer.drain()
            if words:
                with anyio.fail_after(20):
                    answer = await reader.read(1 << 16)
                assert not answer or answer.startswith(b"HTTP/1.1 4"), (words[-80:], answer)
        writer.transport.abort()


@contextmanager
def _unfinished(all_words: list[str], port: int) -> Generator[None]:
    """Connections on which somebody begins to speak, and does not go on."""
    with ExitStack() as connections:
        for words in all_words:
            connection = connections.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(words.encode("latin-1"))
        yield
