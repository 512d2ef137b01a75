"""Hosts that can't be used: each is a row with a reason from the closed list and a next step, and holds up nobody."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import anyio
import pytest
from tests.embedded_fleet import EmbeddedFleet
from tests.mcp_server.caller import Caller
from tests.servers import ClientKey

from picoclaw_fleet.errors import Reason

MUTE_HOSTS = 40


@pytest.fixture
def mute_port() -> Iterator[int]:
    """Where connections are taken by the kernel, and nobody ever says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def black_hole_port() -> Iterator[int]:
    """Where connecting is never answered: the kernel drops what comes when nobody takes the few that may wait."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, ExitStack() as waiting:
        for _ in range(4):
            filler = waiting.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


async def test_each_trouble_with_a_host_is_a_row_with_its_reason_and_what_to_do(
    fleet: EmbeddedFleet, call: Caller, mute_port: int, black_hole_port: int
) -> None:
    ada = fleet.hosts["ada"]
    other_key = ClientKey.make(fleet.folder, "other_key").path
    known = fleet.entries[0]
    fleet.entries += [
        {**fleet.entry("unknown-key", ada.port)},
        {**known, "name": "changed-key", "host_key": fleet.hosts["bob"].host_key},
        {**known, "name": "wrong-login", "ssh_key": str(other_key)},
        {**known, "name": "mute", "port": mute_port},
        {**known, "name": "black-hole", "port": black_hole_port},
        {**known, "name": "refused", "port": 1},
    ]
    fleet.defaults["connect_timeout"] = 3
    fleet.write_config()
    await fleet.add("bare", picoclaw=b"")
    await fleet.add("sick", picoclaw=b"#!/bin/sh\necho 'no model is configured'; exit 1\n")
    fleet.write_config()
    expected = {
        "unknown-key": (Reason.HOST_KEY_UNKNOWN, ["SHA256:", "picoclaw-fleet trust unknown-key"]),
        "changed-key": (Reason.HOST_KEY_CHANGED, ["SHA256:"]),
        "wrong-login": (Reason.AUTH_FAILED, ["other_key"]),
        "mute": (Reason.CONNECT_TIMEOUT, [f"127.0.0.1:{mute_port}"]),
        "black-hole": (Reason.CONNECT_TIMEOUT, [f"127.0.0.1:{black_hole_port}"]),
        "refused": (Reason.UNREACHABLE, ["127.0.0.1:1"]),
        "bare": (Reason.NOT_INSTALLED, ["not installed", "deploy"]),
        "sick": (Reason.NOT_READY, ["no model is configured"]),
    }

    status = await call("fleet_status")

    rows = {host["name"]: host for host in status.data["hosts"]}
    assert {name: row["reason"] for name, row in rows.items() if "reason" in row} == {
        name: reason.value for name, (reason, _) in expected.items()
    }
    assert [name for name, row in rows.items() if row["picoclaw"] == "ready"] == ["ada", "bob", "cyd"]
    assert status.data["summary"] == "3 of 11 hosts are ready, 6 out of reach."
    for name, (reason, parts) in expected.items():
        said = f"{rows[name]['message']} {rows[name]['next_step']}"
        for part in parts:
            assert part in said
        (paragraph,) = (line for line in status.text.splitlines() if line.startswith(f"{name}: "))
        assert reason.value in paragraph
        assert rows[name]["next_step"] in paragraph
        assert ("leave it alone for the next" in said) is not rows[name]["reachable"]


async def test_a_job_for_a_host_in_trouble_fails_with_the_reason_and_what_to_do(
    fleet: EmbeddedFleet, call: Caller
) -> None:
    fleet.entries.append(fleet.entry("down", port=1))
    fleet.write_config()
    job = await call("dispatch", task="x", host="down")
    assert (job.data["state"], job.data["reason"], job.data["host"]) == ("failed", "unreachable", "down")
    for part in (job.data["job_id"], "unreachable", job.data["message"], job.data["next_step"]):
        assert part in job.text


async def test_hosts_in_trouble_are_passed_over_where_there_is_another(fleet: EmbeddedFleet, call: Caller) -> None:
    await fleet.add("bare", picoclaw=b"")
    fleet.entries = [fleet.entry("down", port=1), fleet.entries[-1], fleet.entries[0]]
    fleet.write_config()
    job = await call("dispatch", task="x")
    assert (job.data["state"], job.data["host"]) == ("succeeded", "ada")


async def test_mute_hosts_first_in_line_delay_nobody(fleet: EmbeddedFleet, call: Caller, mute_port: int) -> None:
    mute = [fleet.entry(f"mute{number:02}", mute_port) for number in range(MUTE_HOSTS)]
    fleet.entries = [*mute, *fleet.entries]
    fleet.defaults["connect_timeout"] = 8
    fleet.write_config()
    # One after the other they would take 320 s, and 32 at a time 16 s.
    with anyio.fail_after(15.5):
        status = await call("fleet_status")
    assert status.data["summary"] == "3 of 43 hosts are ready, 40 out of reach."
    assert {host["reason"] for host in status.data["hosts"][:MUTE_HOSTS]} == {"connect_timeout"}
    with anyio.fail_after(15.5):
        assert (await call("dispatch", task="x")).data["state"] == "succeeded"


async def test_what_a_host_says_of_its_trouble_is_cleaned(fleet: EmbeddedFleet, call: Caller) -> None:
    nasty = r"printf 'a\033[31mb\342\200\256c\033]0;t\007d\nsecond line\n'; exit 1"
    await fleet.add("sick", picoclaw=f"#!/bin/sh\n{nasty}\n".encode())
    fleet.write_config()
    status = await call("fleet_status", hosts=["sick"])
    assert "abcd second line" in status.data["hosts"][0]["message"]
    (line,) = (line for line in status.text.splitlines() if line.startswith("sick: "))
    assert "abcd second line" in line


async def test_a_key_that_a_host_quotes_is_in_no_reply(fleet: EmbeddedFleet, call: Caller) -> None:
    key = "sk-ant-" + "quoted0123456789" * 2
    quotes = f"#!/bin/sh\necho 'no model takes {key}, is it right?'; exit 1\n"
    await fleet.add("sick", picoclaw=quotes.encode())
    await fleet.add("littering", knobs={"write_files": {key: "x"}})
    fleet.write_config()
    status = await call("fleet_status", hosts=["sick"])
    job = await call("dispatch", task="hello", host="littering")
    assert "no model takes [secret], is it right?" in status.data["hosts"][0]["message"]
    assert job.data["files"] == ["[secret]"]
    assert key not in status.text + job.text


async def test_of_a_hundred_hosts_and_more_those_in_trouble_are_shown_first(fleet: EmbeddedFleet, call: Caller) -> None:
    """All thousand would not fit what a client takes: Claude Code keeps 25,000 tokens from its model."""
    fleet.entries += [{**fleet.entries[0], "name": f"down{number:03}", "port": 1} for number in range(120)]
    fleet.write_config()

    status = await call("fleet_status")
    assert status.data["summary"] == "3 of 123 hosts are ready, 120 out of reach."
    assert [host["name"] for host in status.data["hosts"]] == [f"down{number:03}" for number in range(100)]
    assert status.data["notices"] == ["100 of 123 hosts are shown, those in trouble first: name hosts to see others."]
    assert status.data["notices"][0] in status.text
    assert max(len(status.text), len(json.dumps(status.data))) < 40_000

    torn_down = await call("teardown", hosts=["all"], confirm=True)
    assert {host["reason"] for host in torn_down.data["hosts"]} == {Reason.UNREACHABLE}
    some = await call("fleet_status", hosts=["ada", "down11*"])
    assert [host["name"] for host in some.data["hosts"]] == ["ada", *(f"down11{number}" for number in range(10))]
