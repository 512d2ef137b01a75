"""The gate before everything that is served over HTTP: it lets in requests for us, from those who may call."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from picoclaw_fleet.mcp_server.limits import Limits, Refusal
from picoclaw_fleet.mcp_server.tokens import Tokens

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")

_HEALTH = "/health"
_WHAT_TO_DO = {
    400: "The request has a header that it can't have.",
    421: "The Host header names another server. Is this name missing in the fleet config under http.allowed_hosts?",
    403: "Pages of this origin may not call. Is it missing in the fleet config under http.allowed_origins?",
}


def addressing(
    scheme: str, bound: Iterable[tuple[str, int]], hosts: Iterable[str], origins: Iterable[str]
) -> TransportSecuritySettings:
    """Says which Host and Origin headers are right.

    A page that DNS rebinding has led here names its own host; one on another site names its own origin.

    Args:
        scheme: http or https.
        bound: The addresses and ports that are listened on.
        hosts: Further names, with a port or for any.
        origins: Further origins.
    """
    allowed = [f"{name}:{port}" for _, port in bound for name in LOOPBACK_NAMES]
    for address, port in bound:
        if not ipaddress.ip_address(address).is_unspecified:
            allowed.append(f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
    own = [f"{scheme}://{host}" for host in allowed]
    usual = ":443" if scheme == "https" else ":80"
    # Clients leave the usual port out.
    allowed += [host.removesuffix(usual) for host in allowed if host.endswith(usual)]
    own += [origin.removesuffix(usual) for origin in own if origin.endswith(usual)]
    for host in hosts:
        has_port = host.rpartition(":")[2].isdecimal() and not host.endswith("]")
        allowed += [host] if has_port else [host, f"{host}:*"]
    return TransportSecuritySettings(allowed_hosts=allowed, allowed_origins=[*own, *origins])


class AddressCheck:
    """Lets through what is addressed to us, and answers /health itself, of which anyone may know.

    Args:
        app: What lies behind.
        settings: The right Host and Origin headers.
    """

    def __init__(self, app: ASGIApp, settings: TransportSecuritySettings) -> None:
        self._app = app
        self._check = TransportSecurityMiddleware(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused = _repeated(scope) or await self._check.validate_request(Request(scope))
        if refused is not None:
            await PlainTextResponse(_WHAT_TO_DO[refused.status_code], refused.status_code)(scope, receive, send)
        elif scope["path"] == _HEALTH:
            await _health(scope["method"])(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class Admission:
    """Lets through requests of those who may call, as many and as large as they may be.

    Args:
        app: What lies behind.
        tokens: Who may call.
        limits: How much.
    """

    def __init__(self, app: ASGIApp, tokens: Tokens, limits: Limits) -> None:
        self._app = app
        self._tokens = tokens
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            user = self._user(headers)
            if user is not None:
                scope["user"] = user
            with self._limits.place(user.username if user else ""):
                whole = await self._limits.whole(receive, headers.get("content-length", ""))
                await self._app(scope, whole, send)
        except Refusal as refusal:
            response = PlainTextResponse(refusal.text, refusal.status, refusal.headers)
            await response(scope, receive, send)

    def _user(self, headers: Headers) -> AuthenticatedUser | None:
        if not self._tokens.needed:
            return None
        caller = self._tokens.caller(headers.get("authorization", ""))
        if caller is None:
            text = (
                "A known bearer token is needed. The operator of this server makes one with: picoclaw-fleet token NAME"
            )
            raise Refusal(401, text, **{"WWW-Authenticate": "Bearer"})
        # The SDK ties sessions to the client id; the token itself is kept nowhere.
        return AuthenticatedUser(AccessToken(token="", client_id=caller.name, scopes=[caller.scope]))


def _repeated(scope: Scope) -> Response | None:
    """What checks one of two equal headers and believes the other can be led astray."""
    headers = Headers(scope=scope)
    names = ("host", "origin", "authorization", "content-length", "mcp-session-id", "mcp-protocol-version")
    return Response(status_code=400) if any(len(headers.getlist(name)) > 1 for name in names) else None


def _health(method: str) -> Response:
    if method not in ("GET", "HEAD"):
        return PlainTextResponse("Ask with GET.", 405, {"Allow": "GET, HEAD"})
    return JSONResponse({"status": "ok"})
