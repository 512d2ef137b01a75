"""Requests that ought not to come in."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx2
import pytest
import uvicorn
from tests.embedded_fleet import EmbeddedFleet
from tests.mcp_server.served import BOTH_KINDS, HELLO, Served, bearer, make_tokens, plain_http, served

from picoclaw_fleet.mcp_server import limits
from picoclaw_fleet.mcp_server.gate import addressing
from picoclaw_fleet.mcp_server.limits import Limits, PunctualProtocol, Refusal

LIST: dict[str, Any] = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}


@pytest.fixture
def tokens(fleet: EmbeddedFleet) -> dict[str, str]:
    fleet.http |= {"max_body_kb": 64, "max_sessions": 2, "max_requests": 1}
    fleet.http |= {"allowed_hosts": ["fleet.lan"], "allowed_origins": ["https://board.lan"]}
    tokens = make_tokens(fleet.http, anna="dispatch", ben="dispatch")
    fleet.write_config()
    return tokens


@pytest.fixture
async def server(fleet: EmbeddedFleet, tokens: dict[str, str]) -> AsyncIterator[Served]:
    """It tells no token to its log, and breaks down over nothing."""
    async with served(fleet.environment) as server:
        yield server
        status, said = await server.end(signal.SIGTERM)
    assert status == 143
    assert not any(word in said for word in ("pcf_", "Traceback", "ERROR")), said


async def test_a_request_for_another_host_or_from_a_foreign_page_is_refused(
    server: Served, tokens: dict[str, str]
) -> None:
    right = f"127.0.0.1:{server.port}"
    for path in ("/mcp", "/health", "/other"):
        for host in ("evil.example", f"evil.example:{server.port}", "127.0.0.1", "fleet.lan.evil.example", ""):
            assert await _status(server, path, tokens["anna"], Host=host) == 421, host
        for origin in ("https://evil.example", "null", f"https://{right}", "http://fleet.lan", "https://board.lan:1"):
            assert await _status(server, path, tokens["anna"], Origin=origin) == 403, origin
    for host in (right, f"localhost:{server.port}", "fleet.lan", "fleet.lan:8443"):
        assert await _status(server, "/health", "", Host=host) == 200, host
    for origin in (f"http://{right}", "https://board.lan"):
        assert await _status(server, "/health", "", Origin=origin) == 200, origin


async def test_only_listed_origins_get_leave_from_the_browser(server: Served) -> None:
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    async with plain_http() as http:
        allowed = await http.options(server.url, headers={**asks, "Origin": "https://board.lan"})
        refused = await http.options(server.url, headers={**asks, "Origin": "https://evil.example"})
        own = await http.options(server.url, headers={**asks, "Origin": server.base})
    assert (allowed.status_code, allowed.headers["Access-Control-Allow-Origin"]) == (200, "https://board.lan")
    assert refused.status_code == 403
    for answer in (refused, own):
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_without_a_known_token_nothing_is_served(server: Served, tokens: dict[str, str]) -> None:
    good = tokens["anna"]
    wrong = ["", "Bearer", f"Bearer {good[:-1]}", f"Bearer {good}x", f"Bearer {good[4:]}", f"Basic {good}"]
    wrong += [good, f"Bearer {good},{good}", f"Bearer {good} x", "Bearer " + "x" * 9000, "Bearer \xe9" + good]
    for method in ("GET", "POST", "DELETE", "PUT"):
        for header in wrong:
            async with plain_http() as http:
                headers = httpx2.Headers({**BOTH_KINDS, "Authorization": header}, encoding="latin-1")
                answer = await http.request(method, server.url, headers=headers)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer"), header
    for path in ("/", "/other", "/.well-known/oauth-protected-resource", "/docs"):
        assert await _status(server, path, "") == 401
    assert (await server.post(HELLO, good)).status_code == 200
    assert (await server.post(HELLO, "", Authorization=f"bearer  {good}")).status_code == 200


async def test_a_header_that_comes_twice_is_refused(server: Served, tokens: dict[str, str]) -> None:
    async with plain_http() as http:
        for name, value in (("Authorization", f"Bearer {tokens['anna']}"), ("Origin", server.base)):
            headers = [(name, "x"), (name, value)]
            assert (await http.get(f"{server.base}/health", headers=headers)).status_code == 400


async def test_a_token_counts_from_the_next_request_on_and_no_longer_when_it_is_taken_out(
    server: Served, tokens: dict[str, str], fleet: EmbeddedFleet
) -> None:
    assert (await server.post(HELLO, tokens["ben"])).status_code == 200
    new = make_tokens(fleet.http, cyd="read")["cyd"]
    fleet.write_config()
    assert (await server.post(HELLO, tokens["ben"])).status_code == 401
    assert (await server.post(HELLO, new)).status_code == 200
    fleet.config.write_text("{")
    assert (await server.post(HELLO, tokens["ben"])).status_code == 401
    fleet.http["tokens"] = []
    fleet.write_config()
    assert (await server.post(HELLO, new)).status_code == 401
    assert (await server.post(HELLO)).status_code == 401


async def test_the_first_token_counts_from_the_next_request_on_as_well(fleet: EmbeddedFleet) -> None:
    async with served(fleet.environment) as server:
        session = (await server.post(HELLO)).headers["mcp-session-id"]
        first = make_tokens(fleet.http, anna="read")["anna"]
        fleet.write_config()
        assert (await server.post(HELLO)).status_code == 401
        assert (await server.post(LIST, **{"mcp-session-id": session})).status_code == 401
        assert (await server.post(LIST, first, **{"mcp-session-id": session})).status_code == 404
        assert (await server.post(HELLO, first)).status_code == 200
        fleet.http["tokens"] = []
        fleet.write_config()
        assert (await server.post(HELLO)).status_code == 401


async def test_a_session_is_of_use_to_the_token_that_opened_it_alone(server: Served, tokens: dict[str, str]) -> None:
    session = (await server.post(HELLO, tokens["anna"])).headers["mcp-session-id"]
    assert (await server.post(LIST, tokens["anna"], **{"mcp-session-id": session})).status_code == 200
    assert (await server.post(LIST, tokens["ben"], **{"mcp-session-id": session})).status_code == 404


async def test_no_more_sessions_are_opened_than_are_allowed(server: Served, tokens: dict[str, str]) -> None:
    opened = [(await server.post(HELLO, tokens["anna"])).status_code for _ in range(3)]
    assert opened == [200, 200, 503]
    for bad in (b"{", LIST):
        assert (await server.post(bad, tokens["anna"])).status_code in (400, 503)
    async with server.client(tokens["ben"]) as call:
        assert (await call("jobs")).data["total"] == 0


async def test_a_token_has_no_more_requests_under_way_than_are_allowed_and_others_have_theirs(
    server: Served, tokens: dict[str, str], fleet: EmbeddedFleet
) -> None:
    gate = fleet.gate("ada")
    fleet.set_knobs(exec=gate.command)
    async with server.client(tokens["ben"]) as ben, server.client(tokens["anna"]) as anna:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: anna("dispatch", task="x", host="ada"))
            await gate.arrival()
            refused = await server.post(LIST, tokens["anna"])
            assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
            assert (await ben("jobs")).data["total"] == 0
            gate.open()
        assert (await anna("jobs")).data["total"] == 1


async def test_a_body_that_is_too_large_is_refused_however_it_is_sent(server: Served, tokens: dict[str, str]) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1024

    async with plain_http() as http:
        headers = {**BOTH_KINDS, **bearer(tokens["anna"])}
        chunked = await http.post(server.url, content=pieces(), headers=headers)
    assert chunked.status_code == 413
    assert (await server.post(b" " * (65 << 10), tokens["anna"])).status_code == 413
    assert (await server.post(b" " * (65 << 10), "")).status_code == 401
    assert (await server.post(HELLO, tokens["anna"])).status_code == 200


async def test_a_body_that_does_not_end_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "BODY_SECONDS", 0.05)
    pieces = iter([{"type": "http.request", "body": b"{", "more_body": True}])

    async def receive() -> dict[str, Any]:
        return next(pieces, None) or await asyncio.Event().wait()  # type: ignore[return-value]

    with pytest.raises(Refusal) as refused, anyio.fail_after(10):
        await Limits(requests=1, body=100).whole(receive, "50")
    assert refused.value.status == 408


@pytest.mark.parametrize(
    "said", [b"", b"POST /mcp HTT", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nX-Slow: "]
)
async def test_a_connection_that_never_comes_to_the_point_is_closed(
    monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(limits, "REQUEST_SECONDS", 0.05)

    async def app(_: object, __: object, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    config = uvicorn.Config(
        app, http=PunctualProtocol, ws="none", lifespan="off", log_config=None, timeout_keep_alive=1000
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve([listener]))  # pyright: ignore[reportPrivateUsage]
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(said)
        with anyio.fail_after(20):
            await reader.read()
        writer.close()
        server.should_exit = True
        await serving


def test_addresses_are_allowed_as_clients_write_them() -> None:
    right = addressing("https", [("192.0.2.7", 443), ("::1", 443)], ["fleet.lan:8443"], [])
    assert {"192.0.2.7", "192.0.2.7:443", "[::1]", "localhost", "fleet.lan:8443"} <= set(right.allowed_hosts)
    assert {"https://192.0.2.7", "https://localhost:443"} <= set(right.allowed_origins)
    everywhere = addressing("http", [("0.0.0.0", 80)], [], [])
    assert not any("0.0.0.0" in host for host in everywhere.allowed_hosts)
    assert right.enable_dns_rebinding_protection


async def _status(server: Served, path: str, token: str, **headers: str) -> int:
    async with plain_http() as http:
        return (await http.get(f"{server.base}{path}", headers={**bearer(token), **headers})).status_code
