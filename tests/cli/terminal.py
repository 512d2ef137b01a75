"""The installed command, run as people run it: with pipes, or on a terminal of its own."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import termios
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from tests.cli.documented import check_json
from tests.embedded_fleet import COMMAND, EmbeddedFleet
from tests.quick_start import quick_command

PATIENCE = 20
CTRL_C = b"\x03"


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        """The JSON document on stdout."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[dict[str, Any]]:
        """The JSON lines on stdout."""
        return [json.loads(line) for line in self.out.splitlines()]

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        """The JSON lines of one type, without it."""
        return [{key: line[key] for key in line if key != "type"} for line in self.lines if line["type"] == kind]


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs commands for a fleet, without any terminal."""

    fleet: EmbeddedFleet

    async def __call__(self, *args: str, stdin: bytes = b"", **env: str) -> Done:
        """Runs one to its end. Whatever it is, it prints no traceback, nothing colourful, and JSON as documented."""
        command = quick_command()
        with anyio.fail_after(PATIENCE):
            process = await anyio.run_process(
                [command, *args],
                input=stdin,
                check=False,
                env={**self.fleet.environment, **env},
                cwd=self.fleet.home,
                start_new_session=True,
            )
        done = Done(process.returncode, process.stdout.decode(), process.stderr.decode())
        assert "Traceback" not in done.err
        assert "\x1b" not in done.out + done.err
        if "--json" in args:
            check_json(args, done.code, done.out)
        return done


class Terminal:
    """A command on a terminal."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self._process = process
        self._master = master
        self.screen = ""

    async def shows(self, text: str) -> None:
        """Waits until it has shown some text."""
        with anyio.fail_after(PATIENCE):
            while text not in self.screen:
                assert await self._read(), self.screen

    def type(self, keys: bytes) -> None:
        """Types something."""
        os.write(self._master, keys)

    async def end(self, patience: float = PATIENCE) -> int:
        """Waits for its end, but not for ever, and returns its exit status."""
        with anyio.fail_after(patience):
            while await self._read():
                pass
            return await self._process.wait()

    async def _read(self) -> bool:
        await anyio.wait_readable(self._master)
        try:
            piece = os.read(self._master, 1 << 16)
        except OSError:
            # The last one who had the terminal open is gone.
            return False
        self.screen += piece.decode(errors="replace").replace("\r\n", "\n")
        return bool(piece)


@asynccontextmanager
async def terminal(fleet: EmbeddedFleet, *args: str, **env: str) -> AsyncGenerator[Terminal]:
    """Runs our command on a terminal."""
    command = quick_command()
    # The process behind that command takes the terminal; elsewhere it is the command itself that has to.
    takes_it = command != COMMAND
    async with on_terminal(
        command, *args, folder=fleet.home, env={**fleet.environment, **env}, takes_it=takes_it
    ) as screen:
        yield screen


@asynccontextmanager
async def on_terminal(
    *command: str, folder: Path, env: Mapping[str, str], takes_it: bool = False
) -> AsyncGenerator[Terminal]:
    """Runs a command on a terminal of 80 by 24, its own unless it `takes_it` by itself."""
    master, slave = os.openpty()
    termios.tcsetwinsize(slave, (24, 80))

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        preexec_fn=None if takes_it else take_terminal,
        cwd=folder,
        env={"TERM": "xterm-256color", **env},
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(master)
