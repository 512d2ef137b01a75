"""Text of others made fit to be shown: without escape sequences, control, bidi and tag characters."""

from __future__ import annotations

import re

# A string (OSC and the like) that never ends hides no more than the rest of its line.
ESCAPES = re.compile(
    rb"\x1b(?:\[[0-?]{0,100}[ -/]{0,10}[@-~]"  # CSI
    rb"|[\]PX^_][^\x07\x1b\n]{0,990}(?:\x07|\x1b\\)?"  # OSC and the other strings
    rb"|[ -/]{0,10}[0-~]?)"
)
"""The escape sequences of terminals; none of them matches more than 1,000 bytes."""

# Nobody sees the last of them, the tag characters, but models read them as the ASCII that they stand for.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)


def clean(data: bytes) -> str:
    """Makes others' bytes fit to be shown; of the control characters line feeds and tabs stay."""
    # What an escape sequence parts does not become one character without it.
    return _CONTROLS.sub("", ESCAPES.sub(b"\0", data).decode(errors="replace"))


def one_line(text: str) -> str:
    """Makes others' text fit to stand in a sentence of ours, or in a log."""
    return " ".join(clean(text.encode(errors="replace")).split())
