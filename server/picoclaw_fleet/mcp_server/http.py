"""Serving MCP over Streamable HTTP: one server for many clients, at /mcp."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import ssl
import sys
from asyncio import CancelledError
from collections.abc import Generator
from pathlib import Path
from socket import socket

import anyio
import uvicorn
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from picoclaw_fleet.config.file import config_source
from picoclaw_fleet.config.model import HttpConfig
from picoclaw_fleet.config.values import expand_home
from picoclaw_fleet.errors import UsageError
from picoclaw_fleet.mcp_server.audit import AuditLog
from picoclaw_fleet.mcp_server.gate import AddressCheck, Admission, addressing
from picoclaw_fleet.mcp_server.limits import Limits, PunctualProtocol
from picoclaw_fleet.mcp_server.listening import Place, bound
from picoclaw_fleet.mcp_server.offer import offered
from picoclaw_fleet.mcp_server.server import create_server, log_plainly
from picoclaw_fleet.mcp_server.tokens import Tokens
from picoclaw_fleet.serving import Serving

logger = logging.getLogger(__name__)

PATH = "/mcp"
CONNECTIONS = 1024
"""From so many connections on, requests are answered with 503."""

CALL_GRACE_SECONDS = 2
"""How long calls that wait may go on after SIGTERM or SIGINT. Their jobs go on in any case."""

STOP_SECONDS = 6.0
"""After so long the process ends, whatever is still open."""

SESSION_IDLE_SECONDS = 900.0

_MCP_HEADERS = ("authorization", "content-type", "last-event-id", "mcp-method", "mcp-name", "mcp-protocol-version")


class _Server(uvicorn.Server):
    """uvicorn without its handling of signals: it would raise them again after the clean-up, and wait without limit."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class _NoErrors(logging.Filter):
    """Leaves out what uvicorn calls errors, and what is our way of ending: calls that wait are cut short."""

    def filter(self, record: logging.LogRecord) -> bool:
        is_cut_short = record.exc_info is not None and isinstance(record.exc_info[1], CancelledError)
        return not is_cut_short and not record.getMessage().endswith("timeout graceful shutdown exceeded")


async def serve_http(serving: Serving) -> int:
    """Serves until SIGTERM or SIGINT comes.

    Returns:
        The exit status: 128 and the signal's number.

    Raises:
        UsageError: It can't be served as was asked for.
    """
    log_plainly()
    # It tells of each refused request, which the client is told anyway, and of which anyone can make many.
    logging.getLogger("mcp.server.transport_security").setLevel(logging.ERROR)
    uvicorn_log = logging.getLogger("uvicorn.error")
    uvicorn_log.setLevel(logging.ERROR)
    uvicorn_log.addFilter(_NoErrors())
    assert serving.http is not None
    place = Place.parse(serving.http)
    source = config_source(serving.config)
    settings = source.current().http
    if not settings.tokens and not place.is_loopback:
        raise UsageError(
            f"{serving.http} can be reached from other machines, and the fleet config has no http.tokens.",
            next_step="Make a token with: picoclaw-fleet token NAME. Or listen on 127.0.0.1.",
        )
    scheme = _scheme(serving)
    tools = offered(read_only=serving.read_only, names=serving.tools)
    audit = AuditLog(_audit_file(serving, settings), tasks=serving.audit_tasks)
    sockets = place.listen()
    try:
        mcp = create_server(serving.config, tools=tools, audit=audit)
        security = addressing(scheme, bound(sockets), settings.allowed_hosts, settings.allowed_origins)
        body = settings.max_body_kb << 10
        app: ASGIApp = mcp.streamable_http_app(
            streamable_http_path=PATH,
            transport_security=security,
            max_request_body_size=body,
            max_sessions=settings.max_sessions,
            session_idle_timeout=SESSION_IDLE_SECONDS,
        )
        tokens = Tokens(source)
        app = Admission(app, tokens, Limits(requests=settings.max_requests, body=body))
        if settings.allowed_origins:
            app = CORSMiddleware(
                app,
                allow_origins=list(settings.allowed_origins),
                allow_methods=["GET", "POST", "DELETE"],
                allow_headers=[*_MCP_HEADERS, "mcp-session-id"],
                expose_headers=["mcp-session-id"],
            )
        server = _Server(_uvicorn_config(AddressCheck(app, security), serving))
        for line in _announcement(scheme, sockets, is_open=not tokens.needed, is_local=place.is_loopback):
            print(line, file=sys.stderr)  # noqa: T201  to the operator, who has no other way of knowing the port
        return await _run(server, sockets)
    finally:
        for one in sockets:
            one.close()


async def _run(server: uvicorn.Server, sockets: list[socket]) -> int:
    status = 0
    async with anyio.create_task_group() as tasks:

        async def stop_on_signal() -> None:
            nonlocal status
            with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                async for number in signals:
                    status = 128 + number
                    server.should_exit = True
                    tasks.start_soon(end_anyway, status)

        async def end_anyway(status: int) -> None:
            await anyio.sleep(STOP_SECONDS)
            logging.shutdown()
            os._exit(status)

        tasks.start_soon(stop_on_signal)
        await server.serve(sockets)
        tasks.cancel_scope.cancel()
    return status


def _uvicorn_config(app: ASGIApp, serving: Serving) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=PunctualProtocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        # Nobody is believed about where a request comes from.
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=CALL_GRACE_SECONDS,
        ssl_certfile=serving.tls_cert,
        ssl_keyfile=serving.tls_key,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        said = error.strerror or str(error)
        raise UsageError(
            f"{serving.tls_cert} and {serving.tls_key} can't be used for TLS: {said}.",
            next_step="Give the certificate with its chain, and its private key without passphrase, both as PEM.",
        ) from error
    return config


def _scheme(serving: Serving) -> str:
    if (serving.tls_cert is None) != (serving.tls_key is None):
        raise UsageError("TLS needs both --tls-cert and --tls-key.")
    return "https" if serving.tls_cert else "http"


def _audit_file(serving: Serving, settings: HttpConfig) -> Path:
    from picoclaw_fleet.fleet import state_folder

    if serving.audit is not None:
        return serving.audit
    return expand_home(settings.audit) if settings.audit else state_folder() / "audit.jsonl"


def _announcement(scheme: str, sockets: list[socket], *, is_open: bool, is_local: bool) -> list[str]:
    lines = [
        f"Serving MCP at {scheme}://{f'[{address}]' if ':' in address else address}:{port}{PATH}"
        for address, port in bound(sockets)
    ]
    if is_open:
        lines.append("There are no tokens in the fleet config: every user of this machine may do everything.")
    if scheme == "http" and not is_local:
        lines.append("Tokens and answers cross the network in the clear: use --tls-cert, or a proxy that does TLS.")
    return lines
