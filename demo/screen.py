"""What the demo shows: plain text that is right in 80 columns, on paper and without colour."""

from __future__ import annotations

import json
import re
from typing import Any, cast

from rich.console import Console
from rich.text import Text

_SHOWN_TASKS = 2
_INDENT = "  "
_COLOURS = {
    r"\b(ready|succeeded)\b": "green",
    r"\btimed[ _]out\b": "yellow",
    r"\b(unreachable|failed)\b": "red",
    r"^host  picoclaw .*$": "bold",
    r"^~~~\w+$": "dim",
}


class Screen:
    """Prints what happens. Rich leaves colours out where the output is no terminal, or NO_COLOR is set.

    Args:
        console: Where to; None for stdout.
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)

    def heading(self, text: str) -> None:
        """Begins a part."""
        self._console.print()
        self._console.print(Text(text, style="bold"))

    def say(self, text: str) -> None:
        """Tells the person who watches what this is about."""
        self._console.print(Text(text))

    def call(self, tool: str, arguments: dict[str, Any]) -> None:
        """Shows what the client calls."""
        written = ", ".join(f"{name}={_short(value)}" for name, value in arguments.items())
        self._indented(Text(f"> {tool}({written})", style="cyan"))

    def progress(self, seconds: float, message: str) -> None:
        """Shows what the server tells while the client waits."""
        self._indented(Text(f"... after {seconds:.0f} s: {message}", style="dim"))

    def reply(self, text: str) -> None:
        """Shows the text that the client got, which is what a model reads."""
        coloured = Text(text)
        for pattern, colour in _COLOURS.items():
            coloured.highlight_regex(re.compile(pattern, re.MULTILINE), colour)
        self._indented(coloured)

    def command(self, text: str) -> None:
        """Shows what to type, never broken into lines."""
        self._console.print(Text("    " + text.replace("\n", "\n    ")), soft_wrap=True)

    def trouble(self, text: str) -> None:
        """Shows what did not come out as it should."""
        self._console.print(Text(text, style="bold red"))

    def _indented(self, text: Text) -> None:
        for line in text.wrap(self._console, self._console.width - len(_INDENT)):
            line.rstrip()
            self._console.print(Text(_INDENT) + line if line else line)


def _short(value: object) -> str:
    items = cast("list[object]", value) if isinstance(value, list) else []
    if len(items) > _SHOWN_TASKS:
        shown = ", ".join(json.dumps(item) for item in items[:_SHOWN_TASKS])
        return f"[{shown}, and {len(items) - _SHOWN_TASKS} more]"
    return json.dumps(value)
