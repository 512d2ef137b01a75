"""Each argument of each tool with what it must not be: an answer in our words each time, and nothing else happens."""

from __future__ import annotations

import json
import logging
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.types import TextContent
from tests.worker.test_command_lines import HOSTILE

from picoclaw_fleet.mcp_server.server import create_server
from picoclaw_fleet.mcp_server.tools import TOOLS

STARTING_PROCESSES = ("subprocess.Popen", "os.system", "os.posix_spawn", "os.spawn", "os.exec", "pty.spawn")
SECRET = "the content of a file of the operator"
NEEDED: dict[str, dict[str, Any]] = {
    "dispatch": {"task": "x"},
    "dispatch_many": {"tasks": ["x"]},
    "teardown": {"hosts": ["down"], "confirm": True},
    "job_result": {"job_id": "j_nobody"},
    "job_cancel": {"job_id": "j_nobody"},
}
"""What has to be there besides; whatever waits does so for no time."""


@dataclass
class Watch:
    """What this process does that no argument may make it do. Python's audit events tell.

    Attributes:
        canary: A file that nobody may open.
        port: Where nobody may connect to.
        found: What was done all the same.
    """

    canary: Path
    port: int
    found: list[str] = field(default_factory=list[str])

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        match event, arguments:
            case "open", (path, *_):
                is_bait = str(path).endswith("/canary")
            case "socket.connect", (_, (str(), int(port), *_)):
                is_bait = port == self.port
            case _:
                is_bait = event in STARTING_PROCESSES
        if is_bait:
            self.found.append(f"{event} {arguments}"[:200])


_WATCHES: list[Watch] = []
_HOOKED: list[bool] = []


def _tell(event: str, arguments: tuple[Any, ...]) -> None:
    for watch in _WATCHES:
        watch.note(event, arguments)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    canary = tmp_path / "canary"
    canary.write_text(SECRET)
    if not _HOOKED:
        sys.addaudithook(_tell)  # for good: there is no taking one away
        _HOOKED.append(True)
    with socket.create_server(("127.0.0.1", 0)) as bait:
        watch = Watch(canary, bait.getsockname()[1])
        _WATCHES.append(watch)
        yield watch
        _WATCHES.remove(watch)


@pytest.fixture
async def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """A server whose one host is down, and whose source of releases is as well."""
    config = tmp_path / "fleet.json"
    entry = {"name": "down", "host": "127.0.0.1", "port": 1, "user": "me"}
    defaults = {
        "github_api": "http://127.0.0.1:1",
        "provider": "ollama",
        "model": "m",
        "api_base": "http://127.0.0.1:1",
    }
    config.write_text(json.dumps({"hosts": [entry], "defaults": defaults}))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PICOCLAW_FLEET_STATE_DIR", str(tmp_path / "state"))
    async with Client(create_server(str(config))) as client:
        yield client


def hostile(watch: Watch) -> list[object]:
    """What an argument may come as."""
    paths = [str(watch.canary), f"file://{watch.canary}", f"me@host:{watch.canary}", f"@{watch.canary}", "../canary"]
    reference = {"$ref": f"http://127.0.0.1:{watch.port}/schema.json", "$schema": f"file://{watch.canary}"}
    nested: object = []
    for _ in range(60):
        nested = [nested]
    return [
        "".join(HOSTILE),
        "-oProxyCommand=touch${IFS}canary",
        *paths,
        [",".join(paths)],
        reference,
        [reference],
        nested,
        {"a" * 10_000: None},
        [{str(number): number} for number in range(100)],
        "\0",
        "x" * 200_000,
        ["*?" * 3000],
        [f"no{number}" for number in range(150)],
        10**30,
        -(10**30),
        1e308,
        -1,
        True,
        None,
        [],
        {},
    ]


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
async def test_no_argument_opens_a_file_starts_a_process_or_breaks_the_call(
    client: Client, watch: Watch, caplog: pytest.LogCaptureFixture, tool: Any
) -> None:
    properties = tool.parameters["properties"]
    usual = {**({"wait_seconds": 0} if "wait_seconds" in properties else {}), **NEEDED.get(tool.name, {})}
    for name in properties:
        for value in hostile(watch):
            arguments = {**usual, name: value}
            if tool.name == "dispatch_many" and name == "rerun":
                del arguments["tasks"]
            if name == "batch_id":
                arguments.pop("job_id", None)
            result = await client.call_tool(tool.name, arguments)
            (content,) = result.content
            assert isinstance(content, TextContent)
            assert not any(word in content.text for word in ("Error executing", "Traceback", "pydantic", SECRET)), name
            assert len(content.text) < 10_000, (name, content.text[:200])
    assert watch.found == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("arguments", [{"task": "x", "local": "/canary"}, {"task": "x", "$ref": "file:///canary"}])
async def test_arguments_that_there_are_not_are_refused(
    client: Client, watch: Watch, arguments: dict[str, str]
) -> None:
    result = await client.call_tool("dispatch", arguments)
    assert result.is_error
    assert watch.found == []
