"""The server as a process: what it prints, how it ends, how much memory it takes."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import AsyncIterator

import anyio
import pytest
from tests.embedded_fleet import EmbeddedFleet, Gate
from tests.mcp_server.wire import Wire, wire

CLIENTS_PATIENCE = 2
"""Seconds after the end of stdin or a SIGTERM until clients kill."""

HUGE = 200 << 20
MOST_GROWTH = 20 << 20
STATUS = {signal.SIGTERM: 143, signal.SIGINT: 130, None: 0}


@pytest.fixture
async def server(fleet: EmbeddedFleet) -> AsyncIterator[Wire]:
    async with wire(fleet.environment) as server:
        await server.initialize()
        yield server


@pytest.fixture
async def installed(fleet: EmbeddedFleet) -> AsyncIterator[Wire]:
    async with wire(fleet.environment, installed=True) as server:
        await server.initialize()
        yield server


@pytest.fixture
def gate(fleet: EmbeddedFleet) -> Gate:
    gate = fleet.gate("ada")
    fleet.set_knobs(exec=gate.command)
    return gate


async def test_nothing_but_json_rpc_is_on_stdout(fleet: EmbeddedFleet, installed: Wire) -> None:
    fleet.set_knobs(chatty=True, stderr_bytes=b"noise\n", late_log=True)
    fleet.entries.append(fleet.entry("down", port=1))
    fleet.write_config()
    await installed.request("tools/list", {})
    await installed.call("fleet_status")
    await installed.call("dispatch", task="x")
    await installed.request("tools/call", {"name": "dispatch", "arguments": {"tsk": "x"}})
    await installed.request("tools/call", {"name": "nope", "arguments": {}})
    installed.end_stdin()
    status, errors = await installed.end()

    assert (status, errors) == (0, "")
    assert len(installed.lines) == 6
    assert {json.loads(line)["jsonrpc"] for line in installed.lines} == {"2.0"}


@pytest.mark.parametrize("number", STATUS)
async def test_an_idle_server_ends_at_once(installed: Wire, number: signal.Signals | None) -> None:
    await installed.request("tools/list", {})
    await _end(installed, number)


@pytest.mark.parametrize("number", STATUS)
async def test_a_server_ends_at_once_while_jobs_run_and_they_go_on(
    server: Wire, gate: Gate, number: signal.Signals | None
) -> None:
    await server.call("dispatch", task="x", host="ada", wait_seconds=0)
    server.ask("tools/call", {"name": "dispatch_many", "arguments": {"tasks": ["y"], "hosts": ["ada"]}})
    await gate.arrival()
    await gate.arrival()
    await _end(server, number)

    gate.open(2)
    with anyio.fail_after(20):
        await gate.departure()
        await gate.departure()


@pytest.mark.parametrize("number", STATUS)
async def test_a_server_ends_at_once_while_a_host_is_mute(
    fleet: EmbeddedFleet, server: Wire, number: signal.Signals | None
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        mute.setblocking(False)
        fleet.entries.append(fleet.entry("mute", mute.getsockname()[1]))
        fleet.write_config()
        server.ask("tools/call", {"name": "fleet_status", "arguments": {}})
        await anyio.wait_readable(mute)
        await _end(server, number)


async def test_a_server_that_has_not_been_spoken_to_ends_with_its_stdin(fleet: EmbeddedFleet) -> None:
    async with wire(fleet.environment, installed=True) as server:
        server.end_stdin()
        with anyio.fail_after(20):
            assert await server.end() == (0, "")


async def test_an_output_of_200_megabytes_does_not_fill_the_memory(fleet: EmbeddedFleet, installed: Wire) -> None:
    fleet.set_knobs(by_task=[{"contains": "huge", "huge": HUGE}])
    await installed.call("dispatch", task="small", host="ada")
    before = installed.memory("VmRSS")

    with anyio.fail_after(55):
        job = await installed.call("dispatch", task="huge", host="ada", wait_seconds=50)
        while job["state"] == "running":
            job = await installed.call("job_result", job_id=job["job_id"], wait_seconds=50)

    assert (job["state"], job["truncated"]) == ("succeeded", True)
    last = await installed.call("job_result", job_id=job["job_id"], offset=HUGE - 100)
    assert last["answer"].endswith(".")
    assert "next_offset" not in last
    assert installed.memory("VmHWM") - before < MOST_GROWTH


async def _end(server: Wire, number: signal.Signals | None) -> None:
    if number is None:
        server.end_stdin()
    else:
        server.signal(number)
    with anyio.fail_after(CLIENTS_PATIENCE):
        status, errors = await server.end()
    assert (status, errors) == (STATUS[number], "")
