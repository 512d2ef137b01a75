"""The picture in the README."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from demo.picture import drawn, recording_console
from demo.screen import Screen
from tests.docs.snippets import ROOT

_TEXT = "{http://www.w3.org/2000/svg}text"


def test_it_shows_calls_of_our_tools_and_tells_nothing_of_the_machine() -> None:
    svg = (ROOT / "docs" / "demo.svg").read_text(encoding="utf-8")
    shown = "".join(_pieces(svg))
    assert "fleet_status()" in shown
    assert "dispatch_many(" in shown
    assert "succeeded" in shown
    assert not re.search(r"/(tmp|home|root|work|Users)\b|localhost|:\d{4,5}\b", shown)
    # Nothing is loaded from anywhere, and nothing is run.
    assert re.findall(r"https?://[^\"]+", svg) == ["http://www.w3.org/2000/svg"]
    assert "<script" not in svg
    assert len(svg) < 16_000


def test_what_is_shown_stands_where_it_stood() -> None:
    console = recording_console()
    screen = Screen(console)
    screen.reply("ada  ready        0.2.9\n\n<b>&  unreachable")
    svg = drawn(console)
    assert _pieces(svg)[1:] == ["ada", "ready", "0.2.9", "<b>&", "unreachable"]
    at = [float(x) for x in re.findall(r'<text class="demo-r\d+" x="([\d.]+)"', svg)]
    width = at[0] / 2
    assert [round(x / width) for x in at] == [2, 7, 20, 2, 8]


def _pieces(svg: str) -> list[str]:
    """The pieces of text, with plain spaces."""
    return [(piece.text or "").replace("\xa0", " ") for piece in ElementTree.fromstring(svg).iter(_TEXT)]
