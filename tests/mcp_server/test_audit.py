"""Who did what."""

from __future__ import annotations

import getpass
import json
import logging
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from mcp import Client, MCPError
from tests.embedded_fleet import EmbeddedFleet
from tests.mcp_server.caller import Caller as Client_
from tests.mcp_server.served import lines_of, make_tokens, served

from picoclaw_fleet.caller import Caller
from picoclaw_fleet.errors import UsageError
from picoclaw_fleet.mcp_server.audit import AuditLog
from picoclaw_fleet.mcp_server.call import Call
from picoclaw_fleet.mcp_server.server import create_server


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "audit.jsonl"


@pytest.fixture
async def call(fleet: EmbeddedFleet, file: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client_]:
    monkeypatch.setenv("HOME", str(fleet.home))
    monkeypatch.setenv("PICOCLAW_FLEET_STATE_DIR", str(fleet.state))
    async with Client(create_server(str(fleet.config), audit=AuditLog(file))) as client:
        yield Client_(client)


async def test_each_call_is_one_line_without_the_text_of_its_task(call: Client_, file: Path) -> None:
    await call("fleet_status", hosts=["bob", "ada"])
    job = (await call("dispatch", task="my secret plan", host="ada")).data
    batch = (await call("dispatch_many", tasks=["my secret a", {"task": "my secret b"}])).data
    await call("job_result", job_id=job["job_id"])
    await call.refusal("dispatch", task="my secret plan", host="nobody")
    status, one, many, result, refused = lines_of(file)

    assert {line["user"] for line in lines_of(file)} == {getpass.getuser()}
    assert (status["tool"], status["hosts"], status["outcome"]) == ("fleet_status", ["ada", "bob"], "done")
    assert (one["tool"], one["hosts"], one["job_ids"]) == ("dispatch", ["ada"], [job["job_id"]])
    assert (many["batch_id"], sorted(many["job_ids"])) == (
        batch["batch_id"],
        sorted(entry["job_id"] for entry in batch["jobs"]),
    )
    assert result["job_ids"] == [job["job_id"]]
    assert (refused["hosts"], refused["outcome"], refused["job_ids"]) == (["nobody"], "refused", [])
    assert one["time"].endswith("Z")
    assert b"my secret" not in _bytes(file)
    assert _mode(file) == 0o600


async def test_over_http_the_token_is_named_and_tasks_are_told_only_when_asked_for(fleet: EmbeddedFleet) -> None:
    tokens = make_tokens(fleet.http, anna="dispatch")
    fleet.http["audit"] = str(fleet.folder / "named.jsonl")
    fleet.write_config()
    async with served(fleet.environment) as server, server.client(tokens["anna"]) as call:
        await call("dispatch", task="my plan", host="ada")
    (line,) = lines_of(fleet.folder / "named.jsonl")
    assert (line["token"], "user" in line, "tasks" in line) == ("anna", False, False)
    asked = fleet.folder / "asked.jsonl"
    options = ("--audit", str(asked), "--audit-tasks")
    async with served(fleet.environment, *options) as server, server.client(tokens["anna"]) as call:
        await call("dispatch_many", tasks=["plan 1", {"task": "plan 2"}], hosts=["ada"])
    (line,) = lines_of(asked)
    assert line["tasks"] == ["plan 1", "plan 2"]
    assert tokens["anna"] not in asked.read_text()


async def test_a_resource_that_is_read_is_named(file: Path, call: Client_) -> None:
    await call.client.read_resource("fleet://hosts/ada")
    with pytest.raises(MCPError):
        await call.client.read_resource("fleet://hosts/nobody")
    assert [(line["tool"], line["resource"], line["outcome"]) for line in lines_of(file)] == [
        ("resources/read", "fleet://hosts/ada", "done"),
        ("resources/read", "fleet://hosts/nobody", "refused"),
    ]


async def test_a_fault_of_ours_is_not_told_as_one_of_the_caller(
    call: Client_, file: Path, fleet: EmbeddedFleet
) -> None:
    job = (await call("dispatch", task="x")).data["job_id"]
    (ledger,) = fleet.state.glob("*.sqlite")
    with closing(sqlite3.connect(ledger)) as database, database:
        database.execute("UPDATE jobs SET files = '['")
    await call.refusal("job_result", job_id=job)
    with pytest.raises(MCPError):
        await call.client.read_resource(f"fleet://jobs/{job}")
    assert [line["outcome"] for line in lines_of(file)] == ["done", "broken", "broken"]


async def test_a_key_in_a_task_is_not_told_even_where_tasks_are(file: Path) -> None:
    log = AuditLog(file, tasks=True)
    key = "sk-ant-0123456789abcdef"
    await log.note(Call(Caller(), "dispatch", {"task": f"Log in with:\n{key}\nand go on."}))
    (line,) = lines_of(file)
    assert line["tasks"] == ["Log in with:\n[secret]\nand go on."]


async def test_a_caller_cannot_forge_a_line(file: Path) -> None:
    log = AuditLog(file)
    forged = 'x\n{"user": "root"}\r\u2028'
    await log.note(Call(Caller("anna", "read"), "dispatch", {"host": forged, "job_id": [forged]}))
    (line,) = _bytes(file).splitlines()
    assert json.loads(line)["hosts"] == [forged]
    assert line.isascii()


async def test_while_the_log_cannot_be_written_nothing_is_done(
    call: Client_, file: Path, fleet: EmbeddedFleet, caplog: pytest.LogCaptureFixture
) -> None:
    _put_a_folder_in_place_of(file)
    with caplog.at_level(logging.ERROR):
        await call("fleet_status")
    assert "can't be written" in caplog.text
    assert "Nothing was done" in await call.refusal("dispatch", task="x")
    with pytest.raises(MCPError, match="Nothing was done"):
        await call.client.read_resource("fleet://hosts/ada")
    assert not any((host.home / ".picoclaw/fleet").exists() for host in fleet.hosts.values())
    _take_away_the_folder(file)
    assert (await call("dispatch", task="x")).data["state"] == "succeeded"
    assert [line["tool"] for line in lines_of(file)] == ["fleet_status", "dispatch"]


def test_a_log_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be written"):
        AuditLog(tmp_path)


def _bytes(file: Path) -> bytes:
    return file.read_bytes()


def _mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def _put_a_folder_in_place_of(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _take_away_the_folder(file: Path) -> None:
    file.rmdir()
