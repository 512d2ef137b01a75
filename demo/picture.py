"""The picture of a run, for the README: `python -m demo.picture docs/demo.svg`.

Ids and figures are those of the run; where everything stands is the same each time, on a machine that is not too busy.
"""

from __future__ import annotations

import html
import io
import re
import sys
from pathlib import Path

import anyio
from demo.caller import Caller
from demo.fleet import client_of_fleet
from demo.screen import Screen
from rich.console import Console
from rich.terminal_theme import TerminalTheme

COLUMNS = 92
REPORTS = [f"Read report {number} and say what is unusual." for number in range(1, 6)]
ENDLESS = {"task": "Wait for the backup.", "timeout_seconds": 6}

# Dark in itself, with a border that can be seen on a dark page too.
_COLOURS = TerminalTheme(
    background=(22, 27, 34),
    foreground=(201, 209, 217),
    normal=[
        (72, 79, 88),
        (255, 123, 114),
        (63, 185, 80),
        (210, 153, 34),
        (88, 166, 255),
        (188, 140, 255),
        (57, 197, 207),
        (201, 209, 217),
    ],
)

_TEXT = re.compile(
    r'<text class="(?P<style>[^"]*)" x="(?P<x>[^"]*)" y="(?P<y>[^"]*)" textLength="(?P<length>[^"]*)"[^>]*>'
    r"(?P<shown>[^<]*)</text>"
)

# Rich's own form asks a foreign server for a font, which no page lets a picture do.
_FORM = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="A run of the demo">
<style>
.{unique_id}-matrix {{ font: {char_height}px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace }}
.{unique_id}-title {{ font: bold 16px system-ui, sans-serif }}
{styles}
</style>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


async def run(console: Console) -> None:
    """Makes two calls for real, and shows them."""
    screen = Screen(console)
    async with client_of_fleet() as client:
        call = Caller(client, screen)
        await call("fleet_status")
        console.print()
        await call("dispatch_many", tasks=[ENDLESS, *REPORTS])


def recording_console() -> Console:
    """Whatever is shown there can be drawn, and is seen nowhere else."""
    return Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, highlight=False)


def drawn(console: Console) -> str:
    """What was shown, as SVG."""
    svg = console.export_svg(title="picoclaw-fleet", theme=_COLOURS, code_format=_FORM, unique_id="demo")
    return _TEXT.sub(_slim, svg)


def _slim(text: re.Match[str]) -> str:
    """A piece of a line without the spaces around it, which not every viewer keeps; nothing where that is all of it."""
    shown = html.unescape(text["shown"])
    before = len(shown) - len(shown.lstrip())
    bare = shown.strip()
    if not bare:
        return ""
    wide = float(text["length"]) / len(shown)
    content = html.escape(bare, quote=False).replace("\xa0", "&#160;")
    return (
        f'<text class="{text["style"]}" x="{float(text["x"]) + before * wide:g}" y="{text["y"]}" '
        f'textLength="{len(bare) * wide:g}">{content}</text>'
    )


if __name__ == "__main__":
    recorded = recording_console()
    anyio.run(run, recorded)
    Path(sys.argv[1]).write_text(drawn(recorded), encoding="utf-8")
