"""JSON that remembers on which line each key stands, so that an error can name it.

The standard library's reader forgets positions, and of two equal keys it silently keeps the last. This one reads
objects and arrays itself and leaves strings, numbers and words to `json`.
"""

from __future__ import annotations

import json
import re
from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass
from json import JSONDecodeError
from typing import NoReturn

DEEPEST = 20

KeyPath = tuple[str | int, ...]
"""Where a value stands: `("hosts", 2, "port")`; empty for the whole document."""

_SPACE = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class JsonSource:
    """A JSON document and where its parts stand.

    Attributes:
        value: The document, as `json.loads` would return it.
        lines: The line, from 1, of each key, of each list item and of the document itself.
        repeated: The keys that an object has more than once, each with the line of the later one.
    """

    value: object
    lines: Mapping[KeyPath, int]
    repeated: tuple[tuple[KeyPath, int], ...]

    @classmethod
    def parse(cls, text: str) -> JsonSource:
        """Reads a document.

        Raises:
            JSONDecodeError: The text is not JSON (RFC 8259), or is nested more than 20 deep.
        """
        reader = _Reader(text)
        value = reader.read_document()
        return cls(value, reader.lines, tuple(reader.repeated))

    def line(self, path: KeyPath) -> int:
        """The line of the nearest part that stands in the document: of the path itself, or of what should hold it."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]


class _Reader:
    """Reads one document from left to right; each method takes a position and returns the one after what it read."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.repeated: list[tuple[KeyPath, int]] = []
        self._text = text
        self._line_ends = [match.start() for match in re.finditer("\n", text)]
        self._scalars = json.JSONDecoder(parse_constant=_refuse_constant)

    def read_document(self) -> object:
        start = self._skip_space(0)
        self.lines[()] = self._line(start)
        value, at = self._read_value(start, ())
        end = self._skip_space(at)
        if end < len(self._text):
            self._fail(end, "the end of the file")
        return value

    def _read_value(self, at: int, path: KeyPath) -> tuple[object, int]:
        opening = self._text[at : at + 1]
        if opening not in ("{", "["):
            return self._read_scalar(at)
        if len(path) >= DEEPEST:
            raise JSONDecodeError(f"nested more than {DEEPEST} deep", self._text, at)
        return self._read_object(at, path) if opening == "{" else self._read_array(at, path)

    def _read_object(self, at: int, path: KeyPath) -> tuple[dict[str, object], int]:
        members: dict[str, object] = {}
        at = self._skip_space(at + 1)
        if self._text.startswith("}", at):
            return members, at + 1
        while True:
            at = self._read_member(at, path, members)
            if self._text.startswith("}", at):
                return members, at + 1
            at = self._skip_comma(at, "}")

    def _read_member(self, at: int, path: KeyPath, members: dict[str, object]) -> int:
        if not self._text.startswith('"', at):
            self._fail(at, "a key in double quotes")
        key, after_key = self._read_scalar(at)
        assert isinstance(key, str)
        inner = (*path, key)
        if key in members:
            self.repeated.append((inner, self._line(at)))
        self.lines[inner] = self._line(at)
        colon = self._skip_space(after_key)
        if not self._text.startswith(":", colon):
            self._fail(colon, "a colon")
        members[key], end = self._read_value(self._skip_space(colon + 1), inner)
        return self._skip_space(end)

    def _read_array(self, at: int, path: KeyPath) -> tuple[list[object], int]:
        items: list[object] = []
        at = self._skip_space(at + 1)
        if self._text.startswith("]", at):
            return items, at + 1
        while True:
            inner = (*path, len(items))
            self.lines[inner] = self._line(at)
            item, end = self._read_value(at, inner)
            items.append(item)
            at = self._skip_space(end)
            if self._text.startswith("]", at):
                return items, at + 1
            at = self._skip_comma(at, "]")

    def _read_scalar(self, at: int) -> tuple[object, int]:
        try:
            return self._scalars.raw_decode(self._text, at)
        except JSONDecodeError as error:
            if error.pos == at and not self._text.startswith('"', at):
                self._fail(at, "a value")
            raise
        except ValueError as error:
            # NaN and Infinity, and numbers with more digits than Python converts.
            raise JSONDecodeError("this number can't be used", self._text, at) from error

    def _skip_comma(self, at: int, closing: str) -> int:
        if not self._text.startswith(",", at):
            self._fail(at, f"a comma or {closing}")
        return self._skip_space(at + 1)

    def _skip_space(self, at: int) -> int:
        match = _SPACE.match(self._text, at)
        assert match is not None
        return match.end()

    def _line(self, at: int) -> int:
        return bisect(self._line_ends, at) + 1

    def _fail(self, at: int, expected: str) -> NoReturn:
        if self._text.startswith(("//", "/*", "#"), at):
            raise JSONDecodeError("JSON has no comments; remove this one", self._text, at)
        found = "the end of the file" if at >= len(self._text) else ascii(self._text[at])
        raise JSONDecodeError(f"{expected} was expected, not {found}", self._text, at)


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(word)
