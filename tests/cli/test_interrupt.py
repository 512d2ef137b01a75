"""On a terminal: what is shown while jobs run, and Ctrl-C."""

from __future__ import annotations

import asyncio
import re
import signal
import socket

import anyio
from tests.cli.terminal import CTRL_C, PATIENCE, Shell, terminal
from tests.embedded_fleet import COMMAND, EmbeddedFleet, Gate
from tests.jobs.scenario import until

QUESTION = "Stop the jobs (s), leave them running (l), or go on waiting (Enter)?"


async def _state(shell: Shell, screen: str) -> str:
    found = re.search(r"j_\w{12}", screen)
    assert found
    jobs = (await shell("jobs", "--json")).data["jobs"]
    return next(job["state"] for job in jobs if job["job_id"] == found[0])


async def test_a_terminal_shows_each_host_and_what_is_queued(fleet: EmbeddedFleet, gate: Gate) -> None:
    async with terminal(fleet, "map", "--hosts", "ada", "a", "b", "c") as screen:
        await screen.shows("ada")
        await screen.shows("2 running")
        await screen.shows("0 of 3 done, 1 queued, 0 B received")
        gate.open(3)
        assert await screen.end() == 0
        assert screen.screen.count("done: ") == 3


async def test_no_color_leaves_the_colours_out(fleet: EmbeddedFleet) -> None:
    # What moves the cursor is no colour: ESC [ ... m is.
    colour = re.compile(r"\x1b\[[\d;]*3\dm")
    async with terminal(fleet, "status", NO_COLOR="1") as plain:
        assert await plain.end() == 0
    assert "ready" in plain.screen
    assert not colour.search(plain.screen)
    async with terminal(fleet, "status") as colourful:
        assert await colourful.end() == 0
    assert colour.search(colourful.screen)


async def test_ctrl_c_asks_and_stops_the_jobs_if_told_to(fleet: EmbeddedFleet, shell: Shell, gate: Gate) -> None:
    async with terminal(fleet, "dispatch", "--host", "ada", "x") as screen:
        await gate.arrival()
        await screen.shows("1 running")
        screen.type(CTRL_C)
        await screen.shows(QUESTION)
        screen.type(b"s\n")
        assert await screen.end() == 130
    assert "(cancelled)" not in screen.screen
    assert await _state(shell, screen.screen) == "cancelled"


async def test_ctrl_c_asks_and_leaves_them_running_if_told_to(fleet: EmbeddedFleet, shell: Shell, gate: Gate) -> None:
    async with terminal(fleet, "dispatch", "--host", "ada", "x") as screen:
        await gate.arrival()
        await screen.shows("1 running")
        screen.type(CTRL_C)
        await screen.shows(QUESTION)
        screen.type(b"l\n")
        assert await screen.end() == 130
    assert "picoclaw-fleet logs --follow j_" in screen.screen
    assert await _state(shell, screen.screen) == "running"
    gate.open()


async def test_a_second_ctrl_c_leaves_them_running(fleet: EmbeddedFleet, shell: Shell, gate: Gate) -> None:
    async with terminal(fleet, "dispatch", "--host", "ada", "x") as screen:
        await gate.arrival()
        await screen.shows("1 running")
        screen.type(CTRL_C)
        await screen.shows(QUESTION)
        screen.type(CTRL_C)
        assert await screen.end() == 130
    assert "picoclaw-fleet logs --follow j_" in screen.screen
    assert await _state(shell, screen.screen) == "running"
    gate.open()


async def test_the_answer_enter_goes_on_waiting(fleet: EmbeddedFleet, gate: Gate) -> None:
    async with terminal(fleet, "dispatch", "--host", "ada", "x") as screen:
        await gate.arrival()
        screen.type(CTRL_C)
        await screen.shows(QUESTION)
        screen.type(b"\n")
        gate.open()
        assert await screen.end() == 0
    assert "done: x" in screen.screen


async def test_ctrl_c_ends_what_leaves_nothing_running(fleet: EmbeddedFleet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        fleet.entries = [fleet.entry("mute", mute.getsockname()[1])]
        fleet.write_config()
        async with terminal(fleet, "status") as screen:
            await anyio.wait_readable(mute)
            screen.type(CTRL_C)
            assert await screen.end() == 130
    assert "Interrupted." in screen.screen
    assert "Traceback" not in screen.screen


async def test_without_a_terminal_an_interrupt_leaves_them_running(
    fleet: EmbeddedFleet, shell: Shell, gate: Gate
) -> None:
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        *("dispatch", "--host", "ada", "x"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=fleet.environment,
        start_new_session=True,
    )
    await gate.arrival()

    async def is_known_to_run() -> bool:
        return [job["state"] for job in (await shell("jobs", "--json")).data["jobs"]] == ["running"]

    await until(is_known_to_run)
    process.send_signal(signal.SIGINT)
    with anyio.fail_after(PATIENCE):
        _, errors = await process.communicate()
    assert process.returncode == 130
    assert "picoclaw-fleet logs --follow j_" in errors.decode()
    assert await _state(shell, errors.decode()) == "running"
    gate.open()
