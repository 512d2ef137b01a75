"""Ctrl-C while jobs run: the first one asks what to do with them, the second one leaves them running."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from enum import Enum

import anyio

QUESTION = "\nStop the jobs (s), leave them running (l), or go on waiting (Enter)? "


class Choice(Enum):
    """What is to become of the jobs."""

    STOP = "s"
    LEAVE = "l"
    WAIT = ""


async def ask(signals: AsyncIterator[signal.Signals]) -> Choice:
    """Asks on the terminal, whatever stdin is; without one, and at the next Ctrl-C, the jobs are left running.

    Args:
        signals: Where the next Ctrl-C is told.
    """
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return Choice.LEAVE
    choice = Choice.LEAVE
    try:
        os.write(terminal, QUESTION.encode())
        async with anyio.create_task_group() as tasks:

            async def hear() -> None:
                await anext(signals, None)
                tasks.cancel_scope.cancel()

            tasks.start_soon(hear)
            await anyio.wait_readable(terminal)
            choice = _understood(os.read(terminal, 100))
            tasks.cancel_scope.cancel()
    finally:
        with suppress(OSError):
            os.write(terminal, b"\n" * (choice is Choice.LEAVE))
        os.close(terminal)
    return choice


def _understood(line: bytes) -> Choice:
    if not line:
        return Choice.LEAVE
    try:
        return Choice(line.decode(errors="replace").strip().lower()[:1])
    except ValueError:
        return Choice.WAIT
