"""docs/http.md says what the server does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from tests.docs.snippets import ROOT, audit_line

from picoclaw_fleet.caller import Caller
from picoclaw_fleet.config.model import HttpConfig
from picoclaw_fleet.mcp_server import http, limits
from picoclaw_fleet.mcp_server.audit import AuditLog
from picoclaw_fleet.mcp_server.call import READS_RESOURCE, Call, Outcome
from picoclaw_fleet.mcp_server.tools import TOOLS

TEXT = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_each_tool_has_the_scope_that_is_written_there() -> None:
    assert _rows("tool") == {tool.name: tool.scope for tool in TOOLS}


def test_the_limits_are_those_of_the_server() -> None:
    keys = {name: int(number) for name, number in re.findall(r"`(max_\w+)` \((\d+)\)", TEXT)}
    assert keys == {name: HttpConfig.model_fields[name].default for name in keys}
    assert set(keys) == {name for name in HttpConfig.model_fields if name.startswith("max_")}
    for said in (
        f"{http.CONNECTIONS} connections",
        f"within {limits.BODY_SECONDS:g} s",
        f"within {limits.REQUEST_SECONDS:g} s",
        f"after {http.SESSION_IDLE_SECONDS / 60:g} minutes",
        f"after {http.CALL_GRACE_SECONDS} s",
        f"after {http.STOP_SECONDS:g} s",
    ):
        assert said in TEXT


async def test_a_line_of_the_audit_log_is_as_it_is_shown_and_explained(tmp_path: Path) -> None:
    shown = json.loads(audit_line().text)
    plain = await _line(
        tmp_path / "plain", Call(Caller("anna", "dispatch"), "dispatch", {"host": "pi1", "job_id": "j_1"})
    )
    assert plain == {**shown, "time": plain["time"], "job_ids": ["j_1"], "outcome": "cancelled"}
    full = await _line(tmp_path / "full", Call(Caller(), "dispatch_many", {"tasks": ["x"], "batch_id": "b_1"}))
    resource = await _line(tmp_path / "resource", Call(Caller(), READS_RESOURCE, {"uri": "fleet://config"}))
    assert set(_rows("key")) == {*plain, *full, *resource} - {"user"}
    assert "user" in full
    assert set(_rows("outcome")) == set(get_args(Outcome))


async def _line(file: Path, call: Call) -> dict[str, object]:
    await AuditLog(file, tasks=True).note(call)
    return json.loads(file.read_text(encoding="utf-8"))


def _rows(title: str) -> dict[str, str]:
    """The first two columns of the table whose first column has that title."""
    (table,) = re.findall(rf"^\| {title} \|.*\n\| --- .*\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", table, re.MULTILINE))
