"""Progress of long work on stderr: a picture that changes on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import anyio

from picoclaw_fleet.cli.output import say, size

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True, slots=True)
class Row:
    """What goes on at one host.

    Attributes:
        name: The host.
        state: In a few words.
        received: Bytes of output that have come from it; None where that is not the point.
        seconds: How long what goes on there has been going on; None when nothing does.
    """

    name: str
    state: str
    received: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """How far the work has come.

    Attributes:
        rows: Host by host.
        footer: The whole in a line: what is done, what is queued.
        news: What has changed since the last picture, for those who see no pictures.
    """

    rows: Sequence[Row]
    footer: str
    news: Sequence[str] = field(default_factory=list[str])


class Screen(Protocol):
    """Where progress is shown."""

    def show(self, picture: Picture) -> None:
        """Shows how far it has come."""
        ...

    def aside(self) -> Any:
        """An async context in which others may print or ask; one at a time."""
        ...

    def close(self) -> None:
        """Ends it."""
        ...


def open_screen(*, quiet: bool) -> Screen:
    """The screen that fits stderr."""
    if quiet:
        return Lines(muted=True)
    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return Live()
    return Lines()


class Lines:
    """A line for each change.

    Args:
        muted: Shows nothing at all.
    """

    def __init__(self, *, muted: bool = False) -> None:
        self._muted = muted
        self._lock = anyio.Lock()

    def show(self, picture: Picture) -> None:
        """Prints what has changed."""
        if not self._muted:
            for line in picture.news:
                say(line)

    @asynccontextmanager
    async def aside(self) -> AsyncGenerator[None]:
        """See Screen."""
        async with self._lock:
            yield

    def close(self) -> None:
        """See Screen."""


class Live:
    """A line for each host, drawn anew when something changes, and gone in the end."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live as Drawing

        self._drawing = Drawing(
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._lock = anyio.Lock()
        self._closed = False

    def show(self, picture: Picture) -> None:
        """Draws the picture, unless somebody else has the terminal."""
        if self._closed or self._lock.locked():
            return
        if not self._drawing.is_started:
            self._drawing.start()
        self._drawing.update(_drawn(picture, self._drawing.console.height), refresh=True)

    @asynccontextmanager
    async def aside(self) -> AsyncGenerator[None]:
        """See Screen."""
        async with self._lock:
            self._drawing.stop()
            yield

    def close(self) -> None:
        """See Screen."""
        self._closed = True
        self._drawing.stop()


def _drawn(picture: Picture, height: int) -> Group:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    room = max(height - 3, 3)
    for row in picture.rows[:room]:
        table.add_row(
            Text(row.name, style="bold"),
            Text(row.state),
            Text("" if row.received is None else size(row.received), justify="right"),
            Text("" if row.seconds is None else f"{row.seconds:.0f} s", justify="right"),
        )
    hidden = len(picture.rows) - room
    more = f"and {hidden} more hosts; " if hidden > 0 else ""
    return Group(table, Text(more + picture.footer, style="dim"))
