"""Messages that no client ought to send: a table of them, and more without end."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any, cast

MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "hostile", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
HELLO = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "hostile", "version": "1"},
}
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    10**30,
    -(10**30),
    1e308,
    "",
    "\0",
    "\ud800",
    "é🦞\u202e",
    [],
    {},
    [[[]]],
    {"": {"": {}}},
)
_LONG = "x" * 70_000

BYTES = [
    b"",
    b"\0",
    b"\xff\xfe\xfd",
    b"{",
    b"}",
    b"null",
    b"7",
    b'"x"',
    b"[]",
    b"[{}]",
    b"NaN",
    b"\xef\xbb\xbf{}",
    b"[" * 20_000 + b"]" * 20_000,
    b'{"a":' * 20_000,
    b'{"jsonrpc":"2.0","id":1e999,"method":"ping"}',
    b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}',
    b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}',
    b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"dispatch","arguments":{"task":"\\ud800"}}}',
    b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}',
    b'[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"ping"}]',
    b"GET / HTTP/1.1\r\nHost: x\r\n\r",
]
"""What is no message at all."""

NOTIFICATIONS: list[dict[str, Any]] = [
    {"method": "notifications/cancelled", "params": {"requestId": 12_345}},
    {"method": "notifications/cancelled", "params": {"requestId": {}}},
    {"method": "notifications/cancelled"},
    {"method": "notifications/progress", "params": {"progressToken": 1, "progress": "x"}},
    {"method": "notifications/no/such", "params": {"x": _LONG}},
    {"method": "notifications/roots/list_changed"},
    {"id": 1, "result": {}},
    {"id": 1, "error": {"code": 1, "message": _LONG}},
    {"id": 1, "error": 7},
    {"id": None, "method": "ping"},
    {"id": [], "method": "ping"},
    {"id": {}, "method": "ping"},
    {"id": 1.5, "method": "ping"},
    {"id": 1, "method": 7},
    {"id": 1, "method": "ping", "params": []},
    {"jsonrpc": "1.0", "id": 1, "method": "ping"},
]
"""What asks for no answer, or can't have one."""

REQUESTS: list[tuple[str, Any]] = [
    ("no/such", {}),
    ("", {}),
    ("tools/call", {}),
    ("tools/call", {"name": 7}),
    ("tools/call", {"name": _LONG}),
    ("tools/call", {"name": "jobs", "arguments": []}),
    ("tools/call", {"name": "jobs", "arguments": {"offset": 10**30}}),
    ("tools/call", {"name": "jobs", "arguments": {_LONG: 1}}),
    ("tools/call", {"name": "jobs", "arguments": {}, "_meta": {"progressToken": {}}}),
    ("tools/call", {"name": "jobs", "arguments": {}, "task": {"ttl": 1}}),
    ("tools/call", {"name": "dispatch", "arguments": {"task": "x" * 200_000}}),
    ("tools/list", {"cursor": _LONG}),
    ("initialize", {}),
    ("initialize", {**HELLO, "protocolVersion": 7}),
    ("initialize", {**HELLO, "protocolVersion": "9999-99-99"}),
    ("initialize", HELLO),
    ("server/discover", {}),
    ("server/discover", {"_meta": {**MODERN, "io.modelcontextprotocol/protocolVersion": "9999-99-99"}}),
    ("tools/list", {"_meta": MODERN}),
    ("resources/read", {"uri": "fleet://jobs/..%2f..%2fetc%2fpasswd"}),
    ("resources/read", {"uri": "fleet://hosts/\0"}),
    ("resources/read", {"uri": "file:///etc/passwd"}),
    ("resources/read", {"uri": _LONG}),
    ("resources/subscribe", {"uri": "fleet://config"}),
    ("completion/complete", {"ref": {"type": "ref/resource", "uri": "x"}, "argument": {"name": "a", "value": "b"}}),
    ("logging/setLevel", {"level": "debug"}),
    ("prompts/get", {"name": "x"}),
    ("tasks/get", {"taskId": "x"}),
    ("sampling/createMessage", {}),
]
"""What has to be answered, by an error at least."""


def requests(era: str) -> Iterator[dict[str, Any]]:
    """The requests of the table, with ids of all kinds; in the era `modern` each says so."""
    for number, (method, params) in enumerate(REQUESTS):
        own = {"_meta": MODERN, **params} if era == "modern" else params
        yield {
            "jsonrpc": "2.0",
            "id": (number, f"n{number}", 10**12 + number)[number % 3],
            "method": method,
            "params": own,
        }


def table(era: str) -> Iterator[bytes]:
    """All of the table, each message without a line end."""
    yield from BYTES
    for message in NOTIFICATIONS:
        yield json.dumps({"jsonrpc": "2.0", **message}).encode()
    for message in requests(era):
        yield json.dumps(message).encode()


def without_end(dice: random.Random, era: str) -> Iterator[bytes]:
    """Messages of the table with something in them changed, each for itself without a line end."""
    messages = [{"jsonrpc": "2.0", **message} for message in NOTIFICATIONS] + list(requests(era))
    while True:
        message = json.loads(json.dumps(dice.choice(messages)))
        for _ in range(dice.randrange(3)):
            _change(message, dice)
        raw = bytearray(json.dumps(message).encode())
        for _ in range(dice.choice((0, 0, 0, 1, 1, 5))):
            _damage(raw, dice)
        yield bytes(raw).replace(b"\n", b" ")


def _change(message: dict[str, Any], dice: random.Random) -> None:
    """Puts something odd in the place of a part."""
    part: Any = message
    while keys := _keys_of(part):
        key = dice.choice(keys)
        if not _keys_of(part[key]) or dice.random() < 0.3:
            part[key] = copy.deepcopy(dice.choice(ODD))
            return
        part = part[key]


def _keys_of(part: object) -> list[Any]:
    match part:
        case dict():
            return list(cast("dict[str, Any]", part))
        case list():
            return list(range(len(cast("list[Any]", part))))
        case _:
            return []


def _damage(raw: bytearray, dice: random.Random) -> None:
    """Changes, doubles or takes away some bytes."""
    start = dice.randrange(len(raw) + 1)
    end = min(start + dice.choice((1, 1, 2, 10, 1000)), len(raw))
    raw[start:end] = dice.choice((b"", b"\0", b"\xff", b'"', b"{", b"\\ud800", bytes(raw[start:end]) * 2))
