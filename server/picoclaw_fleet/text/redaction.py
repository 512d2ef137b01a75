"""Taking secrets out of what workers print, before it is stored."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from pydantic_core import SchemaValidator, core_schema

from picoclaw_fleet.text.secret_shapes import (
    KEY,
    KEY_SIGN,
    LONG_KEY_SHAPES,
    LONGEST_BEGINNING,
    LONGEST_KEY,
    LONGEST_LONG_KEY,
)

PLACEHOLDER = b"[secret]"

_LONG_SIGNS = tuple(map(str.encode, LONG_KEY_SHAPES))
# `re` reads plain text at 24 MB/s, the engine that pydantic brings along at 2 GB/s; but all that it says is yes or no.
_SIGN = SchemaValidator(core_schema.str_schema(pattern=KEY_SIGN, regex_engine="rust-regex"))
_TO_ASCII = bytes(range(128)) + b"\x7f" * 128


class Redactor:
    """Replaces secrets in a stream of bytes, also those that lie across two pieces of it.

    Args:
        secrets: Values that are known to be secret; empty ones are none.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        known = sorted(map(os.fsencode, filter(None, secrets)), key=len, reverse=True)
        self._pattern = re.compile(b"|".join([*map(re.escape, known), KEY.encode()]))
        self._known = known
        self._reach = max([LONGEST_KEY, *map(len, known)])
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
        # The last bytes that were given away tell whether what follows it is the beginning of a word.
        text, position = self._before + self._held + data, len(self._before)
        suspicious = self._may_hold_secret(text)
        if suspicious and reach and any(text.rfind(sign, -LONGEST_LONG_KEY) >= 0 for sign in _LONG_SIGNS):
            reach = max(reach, LONGEST_LONG_KEY)
        safe = max(len(text) - reach, position)
        clean: list[bytes] = []
        matches = self._pattern.finditer(text, position) if suspicious else ()
        for match in matches:
            if match.start() >= safe:
                break
            clean += (text[position : match.start()], PLACEHOLDER)
            position = match.end()
        if position < safe:
            clean.append(text[position:safe])
            position = safe
        self._before, self._held = text[max(position - LONGEST_BEGINNING, 0) : position], text[position:]
        return b"".join(clean)

    def _may_hold_secret(self, text: bytes) -> bool:
        """Says at once that most pieces hold nothing of the kind."""
        # The engine wants valid text, and a sign is in ASCII: whatever is not may as well be another character.
        plain = text if text.isascii() else text.translate(_TO_ASCII)
        return _SIGN.isinstance_python(plain.decode("ascii")) or any(value in text for value in self._known)

    def redact(self, text: str) -> str:
        """Replaces secrets in a whole text."""
        return self._pattern.sub(PLACEHOLDER, text.encode()).decode(errors="replace")
