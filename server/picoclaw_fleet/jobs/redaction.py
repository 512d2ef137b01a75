"""Taking secrets out of what workers print, before it is stored."""

from __future__ import annotations

import re
from collections.abc import Iterable

PLACEHOLDER = b"[secret]"

_KEY_SHAPES = (
    rb"sk-[A-Za-z0-9_-]{16,200}",  # OpenAI, Anthropic, OpenRouter
    rb"gh[pousr]_[A-Za-z0-9]{30,200}",  # GitHub
    rb"github_pat_[A-Za-z0-9_]{30,200}",
    rb"xox[abprs]-[A-Za-z0-9-]{10,200}",  # Slack
    rb"AKIA[0-9A-Z]{16}",  # AWS
    rb"AIza[0-9A-Za-z_-]{35}",  # Google
)
_LONGEST_SHAPE = 220


class Redactor:
    """Replaces secrets in a stream of bytes, also those that lie across two pieces of it.

    Args:
        secrets: Values that are known to be secret.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        known = sorted((value.encode() for value in secrets), key=len, reverse=True)
        self._pattern = re.compile(b"|".join([*map(re.escape, known), *_KEY_SHAPES]))
        self._reach = max([_LONGEST_SHAPE, *map(len, known)])
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Takes a piece, and returns what is certain by now."""
        text = self._held + data
        safe = max(len(text) - self._reach, 0)
        clean: list[bytes] = []
        position = 0
        for match in self._pattern.finditer(text):
            # One that reaches into the last bytes might go on in the next piece.
            if match.end() > safe:
                safe = min(safe, match.start())
                break
            clean += (text[position : match.start()], PLACEHOLDER)
            position = match.end()
        self._held = text[max(safe, position) :]
        clean.append(text[position : max(safe, position)])
        return b"".join(clean)

    def flush(self) -> bytes:
        """Returns the rest when there is no next piece."""
        text, self._held = self._held, b""
        return self._pattern.sub(PLACEHOLDER, text)

    def redact(self, text: str) -> str:
        """Replaces secrets in a whole text."""
        return self._pattern.sub(PLACEHOLDER, text.encode()).decode(errors="replace")
