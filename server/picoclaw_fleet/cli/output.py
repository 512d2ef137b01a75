"""What is printed: data on stdout, as text or JSON; all else on stderr; colour on terminals only, and by choice."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pydantic import BaseModel

    from picoclaw_fleet.results import HostEntry, JobEntry

UI_VERSION = "1.0"
"""Of the JSON lines: the second number rises when something is added, the first when something else changes."""

_TRUST = re.compile(r"picoclaw-fleet trust ([A-Za-z0-9._-]+)")

_COLOURS = {
    "ready": "green",
    "succeeded": "green",
    "installed": "green",
    "upgraded": "green",
    "removed": "green",
    "ok": "green",
    "running": "cyan",
    "in_progress": "cyan",
    "timed_out": "yellow",
    "cancelled": "yellow",
    "missing": "yellow",
    "warning": "yellow",
    "failed": "red",
    "lost": "red",
    "error": "red",
    "unreachable": "red",
}


def say(text: str) -> None:
    """Tells the person something that is not data."""
    click.echo(text, err=True)


def styled(text: str, *, err: bool = False, **style: Any) -> str:
    """The text in colour where the stream is a terminal and NO_COLOR is not set."""
    stream = sys.stderr if err else sys.stdout
    return click.style(text, **style) if stream.isatty() and not os.environ.get("NO_COLOR") else text


def state_word(state: str, *, err: bool = False) -> str:
    """A state or outcome, in its colour."""
    return styled(state, err=err, fg=_COLOURS.get(state))


def as_data(result: BaseModel) -> dict[str, Any]:
    """A result as the tools return it: without what has nothing to say."""
    data = result.model_dump(mode="json", exclude_none=True)
    if not data.get("notices"):
        data.pop("notices", None)
    return data


def print_json(document: BaseModel) -> None:
    """Prints one JSON document."""
    click.echo(json.dumps(as_data(document), indent=2, ensure_ascii=False))


def print_event(kind: str, event: BaseModel) -> None:
    """Prints one of the JSON lines of long work, at once."""
    click.echo(json.dumps({"type": kind, **as_data(event)}, ensure_ascii=False))
    sys.stdout.flush()


def print_version() -> None:
    """Prints the first of the JSON lines."""
    from picoclaw_fleet.cli.documents import Version

    print_event("version", Version(ui=UI_VERSION))


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]], state: int | None = None) -> None:
    """Prints columns, as wide as they have to be.

    Args:
        head: Their names.
        rows: Their cells; None is shown as "-".
        state: The number of the column whose words are shown in their colours.
    """
    cells = [["-" if cell is None or cell == "" else _short(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    click.echo(styled(_line(head, widths), bold=True))
    for row in cells:
        padded = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        if state is not None:
            padded[state] = state_word(row[state]) + " " * (widths[state] - len(row[state]))
        click.echo("  ".join(padded).rstrip())


def print_notices(notices: Sequence[str]) -> None:
    """Tells what the person should know besides."""
    for notice in notices:
        say(f"{styled('Note:', err=True, bold=True)} {notice}")


def trouble(entry: HostEntry | JobEntry, host: str) -> str:
    """Why something is not as it should be, and what to do about it; the host's name is told elsewhere."""
    said = (entry.message or "").removeprefix(f"{host}: ")
    return " ".join(part for part in (f"{entry.reason}.", said, advice(entry)) if part)


def advice(entry: HostEntry | JobEntry) -> str:
    """What to do about it, as it may be typed: what connects knows of no --config."""
    return _TRUST.sub(lambda found: command("trust", found[1]), entry.next_step or "")


def command(*words: str) -> str:
    """A command of ours that may be typed next: for the same fleet config, where one was named."""
    context = click.get_current_context(silent=True)
    config = context.params.get("config") if context else None
    return shlex.join(["picoclaw-fleet", *words, *(["--config", config] if config else [])])


def say_left(scope_id: str, jobs: Sequence[JobEntry]) -> None:
    """Tells how to get back to a job or batch that is not over, or not printed.

    Args:
        scope_id: The job or batch.
        jobs: Its jobs; none where they could not be looked at yet.
    """
    # A job that waits for room here has ended on its host: nothing of it runs, and nothing is left to be stopped.
    waiting = any(job.state == "running" and job.reason == "disk_full" for job in jobs)
    running = any(job.state == "running" and job.reason != "disk_full" for job in jobs)
    queued = any(job.state == "queued" for job in jobs)
    if queued:
        say("What is queued starts only while a command or server is at work on it; going back to it sets it going.")
    if waiting:
        say("What has ended waits on its host until there is room for its output here; going back to it fetches it.")
    say(f"{'Left running. ' if running else ''}Back to it: {command('logs', '--follow', scope_id)}")
    if queued or running or not jobs:
        say(f"Stop it: {command('cancel', scope_id)}")


def size(count: int) -> str:
    """So many bytes, to be read at a glance."""
    for unit, factor in (("MB", 1_000_000), ("kB", 1_000)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _short(cell: object) -> str:
    return f"{cell:g}" if isinstance(cell, float) else str(cell)
