"""Taking secrets out of what workers print, before it is stored."""

from __future__ import annotations

import re
from collections.abc import Iterable

PLACEHOLDER = b"[secret]"

_KEY_SHAPES = (
    rb"sk-[A-Za-z0-9_-]{16,200}",  # OpenAI, Anthropic, OpenRouter
    rb"sk_(?:live|test)_[A-Za-z0-9]{8,200}",  # Stripe
    rb"gh[pousr]_[A-Za-z0-9]{30,200}",  # GitHub
    rb"github_pat_[A-Za-z0-9_]{30,200}",
    rb"glpat-[A-Za-z0-9_-]{16,200}",  # GitLab
    rb"gsk_[A-Za-z0-9]{16,200}",  # Groq
    rb"xai-[A-Za-z0-9]{16,200}",  # xAI
    rb"hf_[A-Za-z0-9]{16,200}",  # Hugging Face
    rb"xox[abeprs]-[A-Za-z0-9-]{10,200}",  # Slack
    rb"A[KS]IA[0-9A-Z]{16}",  # AWS
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
        # A key stands at the beginning of a word: `risk-management-framework` holds none.
        shapes = rb"(?<![A-Za-z0-9])(?:%b)" % b"|".join(_KEY_SHAPES)
        self._pattern = re.compile(b"|".join([*map(re.escape, known), shapes]))
        self._reach = max([_LONGEST_SHAPE, *map(len, known)])
        self._before = b""
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Takes a piece, and returns what is certain by now."""
        return self._take(data, self._reach)

    def flush(self) -> bytes:
        """Returns the rest when there is no next piece."""
        return self._take(b"", 0)

    def _take(self, data: bytes, reach: int) -> bytes:
        """Cleans what begins before the last `reach` bytes: what begins later might go on in the next piece."""
        # The last byte that was given away tells whether what follows it is the beginning of a word.
        text, position = self._before + self._held + data, len(self._before)
        safe = max(len(text) - reach, position)
        clean: list[bytes] = []
        for match in self._pattern.finditer(text, position):
            if match.start() >= safe:
                break
            clean += (text[position : match.start()], PLACEHOLDER)
            position = match.end()
        if position < safe:
            clean.append(text[position:safe])
            position = safe
        self._before, self._held = text[max(position - 1, 0) : position], text[position:]
        return b"".join(clean)

    def redact(self, text: str) -> str:
        """Replaces secrets in a whole text."""
        return self._pattern.sub(PLACEHOLDER, text.encode()).decode(errors="replace")
