"""The same words, defaults and outcomes everywhere: each case goes through MCP, the command line and `Fleet`."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from tests.cli.terminal import Shell
from tests.embedded_fleet import EmbeddedFleet
from tests.mcp_server.caller import Caller

from picoclaw_fleet.cli.output import as_data
from picoclaw_fleet.config.file import ConfigSource
from picoclaw_fleet.errors import FleetError
from picoclaw_fleet.fleet import Fleet
from picoclaw_fleet.mcp_server.server import create_server

KNOBS = [
    {"contains": "fail", "exit": 3, "stderr_bytes": "it broke\n"},
    {"contains": "slow", "slow": 30, "partial": "half of it"},
]

Outcome = dict[str, Any] | str
"""A job without what differs from run to run, or the text of a refusal."""


@dataclass(frozen=True)
class Case:
    """One dispatch.

    Attributes:
        arguments: Those of the tool.
        expected: What the outcome has to hold; for a refusal, a part of its text.
        code: The command line's exit code.
    """

    arguments: dict[str, Any]
    expected: dict[str, Any] | str
    code: int


CASES = {
    "a ready host": Case({"task": "hello", "host": "ada"}, {"state": "succeeded", "answer": "done: hello"}, 0),
    "a host without PicoClaw": Case(
        {"task": "x", "host": "bare", "deploy_missing": False}, {"state": "failed", "reason": "not_installed"}, 3
    ),
    "a PicoClaw that isn't ready": Case(
        {"task": "x", "host": "sick", "deploy_missing": False}, {"state": "failed", "reason": "not_ready"}, 3
    ),
    "a host out of reach": Case({"task": "x", "host": "down"}, {"state": "failed", "reason": "unreachable"}, 4),
    "a timeout with partial output": Case(
        {"task": "slow", "host": "ada", "timeout_seconds": 1}, {"state": "timed_out", "reason": "timeout"}, 5
    ),
    "a failed task": Case(
        {"task": "fail", "host": "ada"}, {"state": "failed", "reason": "exit_code", "exit_code": 3}, 3
    ),
    "a bad task": Case({"task": "  "}, "bad_task: The task is blank.", 2),
    "an unknown host": Case({"task": "x", "host": "adda"}, "Did you mean ada?", 2),
    "a timeout out of range": Case({"task": "x", "timeout_seconds": 0}, "timeout_seconds", 2),
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EmbeddedFleet]:
    async with EmbeddedFleet(tmp_path / "fleet") as fleet:
        await fleet.add("ada", knobs={"by_task": KNOBS})
        await fleet.add("sick", picoclaw=b"#!/bin/sh\necho 'no model is configured'; exit 1\n")
        await fleet.add("bare", picoclaw=b"")
        fleet.entries.append(fleet.entry("down", port=1))
        fleet.write_config()
        monkeypatch.setenv("HOME", str(fleet.home))
        monkeypatch.setenv("PICOCLAW_FLEET_STATE_DIR", str(fleet.state))
        yield fleet


def comparable(job: dict[str, Any]) -> dict[str, Any]:
    """What has to be the same whichever way a job went."""
    text = {
        key: str(job[key]).replace(job["job_id"], "JOB") for key in ("summary", "message", "next_step") if key in job
    }
    duration = str(job.get("duration_seconds"))
    text = {key: value.replace(f"in {duration} s", "in TIME") for key, value in text.items()}
    passing = ("job_id", "created_at", "started_at", "finished_at", "duration_seconds")
    return {key: value for key, value in job.items() if key not in passing} | text


@pytest.mark.parametrize("name", CASES)
async def test_each_way_leads_to_the_same_outcome(fleet: EmbeddedFleet, name: str) -> None:
    case = CASES[name]
    by_fleet = await _through_fleet(fleet, case.arguments)
    by_mcp = await _through_mcp(fleet, case.arguments)
    by_command, code = await _through_command(fleet, case.arguments)

    if isinstance(case.expected, str):
        for refusal in (by_fleet, by_mcp, by_command):
            assert isinstance(refusal, str)
            assert case.expected in refusal
    else:
        assert isinstance(by_fleet, dict)
        assert by_fleet.items() >= case.expected.items()
        assert by_mcp == by_fleet
        assert by_command == by_fleet
    assert code == case.code


async def test_a_timeout_keeps_what_was_printed(fleet: EmbeddedFleet) -> None:
    outcome = await _through_fleet(fleet, CASES["a timeout with partial output"].arguments)
    assert isinstance(outcome, dict)
    assert "half of it" in f"{outcome.get('answer')}{outcome.get('output')}"


async def test_the_hosts_look_the_same_from_everywhere(fleet: EmbeddedFleet) -> None:
    passing = {"load", "memory_free_mb", "disk_free_mb", "round_trip_ms"}

    def steady(data: dict[str, Any]) -> list[dict[str, Any]]:
        # For how long jobs leave a host alone depends on the moment.
        hosts = json.loads(re.sub(r"for the next \d+ s", "for a while", json.dumps(data["hosts"])))
        return [{key: host[key] for key in host if key not in passing} for host in hosts]

    async with Fleet(ConfigSource(fleet.config)) as opened:
        by_fleet = steady(as_data(await opened.status()))
    async with Client(create_server(str(fleet.config))) as client:
        by_mcp = steady((await Caller(client)("fleet_status")).data)
    by_command = steady((await Shell(fleet)("status", "--json")).data)
    assert by_mcp == by_fleet
    assert by_command == by_fleet
    assert [(host["name"], host["picoclaw"]) for host in by_fleet] == [
        ("ada", "ready"),
        ("sick", "installed"),
        ("bare", "missing"),
        ("down", "unknown"),
    ]


async def _through_fleet(fleet: EmbeddedFleet, arguments: dict[str, Any]) -> Outcome:
    async with Fleet(ConfigSource(fleet.config)) as opened:
        try:
            job = await opened.dispatch(**arguments)
        except FleetError as error:
            return str(error)
    return comparable(as_data(job))


async def _through_mcp(fleet: EmbeddedFleet, arguments: dict[str, Any]) -> Outcome:
    async with Client(create_server(str(fleet.config))) as client:
        result = await client.call_tool("dispatch", arguments)
    if result.is_error:
        return "".join(getattr(content, "text", "") for content in result.content)
    assert result.structured_content is not None
    return comparable(result.structured_content)


async def _through_command(fleet: EmbeddedFleet, arguments: dict[str, Any]) -> tuple[Outcome, int]:
    options = [option for key, value in arguments.items() if key != "task" for option in _options(key, value)]
    done = await Shell(fleet)("dispatch", "--json", "--quiet", *options, "--", arguments["task"])
    jobs = done.of_type("job")
    return (comparable(jobs[0]) if jobs else done.err), done.code


def _options(key: str, value: object) -> tuple[str, ...]:
    name = key.replace("_", "-")
    return (f"--no-{name}",) if value is False else (f"--{name}", str(value))
