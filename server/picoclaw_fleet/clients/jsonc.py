"""JSON with comments, trailing commas and JSON5's freedoms, and where in the text each part stands."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

DEEPEST = 100

_GAP = re.compile(r"(?:[\s\ufeff]|//[^\n\r]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'', re.DOTALL)
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|\r\n|.)", re.DOTALL)
_WORD = re.compile(r"[\w$+.-]+")
_NAMED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "0": "\0"}
_WORDS = {"true": True, "false": False, "null": None}


class SourceError(ValueError):
    """A text that can't be read.

    Args:
        problem: What is wrong.
        line: Where, from 1.
    """

    def __init__(self, problem: str, line: int) -> None:
        super().__init__(problem)
        self.line = line


@dataclass(frozen=True, slots=True)
class Member:
    """One key of an object with its value; `start` is where the key begins."""

    key: str
    start: int
    value: Node


@dataclass(frozen=True, slots=True)
class Node:
    """A value in a text.

    Attributes:
        start: Where it begins.
        end: Where it ends.
        value: What it is.
        members: The members of an object, in order; None for anything else.
        items: The items of a list, in order; None for anything else.
    """

    start: int
    end: int
    value: object
    members: tuple[Member, ...] | None = None
    items: tuple[Node, ...] | None = None

    def member(self, key: str) -> Node | None:
        """The value of a key. Of a repeated one the last counts, as it does for the clients."""
        return next((member.value for member in reversed(self.members or ()) if member.key == key), None)


def parse(text: str) -> Node:
    """Reads a document.

    Raises:
        SourceError: It is neither JSON nor JSON5.
    """
    reader = _Reader(text)
    node = reader.value(reader.skip(0))
    end = reader.skip(node.end)
    if end < len(text):
        reader.fail("the end of the file", end)
    return node


def skip(text: str, at: int) -> int:
    """Where the next thing that isn't space or comment stands."""
    match = _GAP.match(text, at)
    assert match is not None
    return match.end()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._depth = 0

    def skip(self, at: int) -> int:
        return skip(self._text, at)

    def value(self, at: int) -> Node:
        match self._text[at : at + 1]:
            case "{":
                return self._object(at)
            case "[":
                return self._array(at)
            case '"' | "'":
                return self._string(at)
            case _:
                return self._word(at)

    def fail(self, expected: str, at: int) -> NoReturn:
        found = repr(self._text[at]) if at < len(self._text) else "the end of the file"
        raise SourceError(f"{expected} was expected, not {found}", self._text.count("\n", 0, at) + 1)

    def _object(self, start: int) -> Node:
        members: list[Member] = []
        for at in self._items(start, "}"):
            key = self._string(at) if self._text[at] in "\"'" else self._key_word(at)
            colon = self.skip(key.end)
            if not self._text.startswith(":", colon):
                self.fail("a colon", colon)
            members.append(Member(str(key.value), at, self.value(self.skip(colon + 1))))
            self._end = members[-1].value.end
        values = {member.key: member.value.value for member in members}
        return Node(start, self._end, values, tuple(members))

    def _array(self, start: int) -> Node:
        items: list[Node] = []
        for at in self._items(start, "]"):
            items.append(self.value(at))
            self._end = items[-1].end
        return Node(start, self._end, [item.value for item in items], items=tuple(items))

    def _items(self, start: int, closing: str) -> Iterator[int]:
        """Where each item begins. Who reads it leaves its end in `_end`, where the end of the whole is found after."""
        self._depth += 1
        if self._depth > DEEPEST:
            self.fail("something less deeply nested", start)
        at = self.skip(start + 1)
        while not self._text.startswith(closing, at):
            if at >= len(self._text):
                self.fail(closing, at)
            yield at
            at = self.skip(self._end)
            if self._text.startswith(",", at):
                at = self.skip(at + 1)
            elif not self._text.startswith(closing, at):
                self.fail(f"a comma or {closing}", at)
        self._depth -= 1
        self._end = at + 1

    def _string(self, at: int) -> Node:
        match = _STRING.match(self._text, at)
        if match is None:
            self.fail("the end of a text in quotes", len(self._text))
        text = _ESCAPE.sub(_unescaped, match[0][1:-1])
        # Characters beyond the first 65,536 are escaped as two halves.
        return Node(at, match.end(), text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))

    def _key_word(self, at: int) -> Node:
        match = _WORD.match(self._text, at)
        if match is None:
            self.fail("a key", at)
        return Node(at, match.end(), match[0])

    def _word(self, at: int) -> Node:
        match = _WORD.match(self._text, at)
        if match is None:
            self.fail("a value", at)
        word = match[0]
        if word in _WORDS:
            return Node(at, match.end(), _WORDS[word])
        try:
            return Node(at, match.end(), _number(word))
        except ValueError:
            self.fail("a value", at)


def _number(word: str) -> float:
    """A number in JSON's or JSON5's writing: .5, +1, 0xff, Infinity."""
    try:
        number: float = json.loads(word)
    except ValueError:
        bare = word.lstrip("+-").lower()
        number = int(word, 16) if bare.startswith("0x") else float(word)
    return number


def _unescaped(escape: re.Match[str]) -> str:
    code = escape[1]
    if code[0] in "ux" and len(code) > 1:
        return chr(int(code[1:], 16))
    return "" if code in ("\n", "\r\n", "\r") else _NAMED.get(code, code)
