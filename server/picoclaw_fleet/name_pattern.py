"""Patterns of host names: `web*`, `node?`, `web[1-3]`, `rack[1-2]-node[01,05-10]`."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from picoclaw_fleet.errors import UsageError

MOST_NAMES = 100_000
MOST_DIGITS = 9

_TOKEN = re.compile(r"\[(?P<numbers>[^\[\]]*)\]|(?P<star>\*+)|(?P<one>\?)|(?P<text>[^\[\]*?]+)|(?P<stray>[\[\]])")
_NUMBERS = re.compile(rf"([0-9]{{1,{MOST_DIGITS}}})(?:-([0-9]{{1,{MOST_DIGITS}}}))?")
_BETWEEN_COMMAS = re.compile(r"(?:\[[^\[\]]*\]|[^,])+")


def split_at_commas(text: str) -> list[str]:
    """Splits at the commas outside of brackets; parts that are empty are left out."""
    return [part.strip() for part in _BETWEEN_COMMAS.findall(text) if part.strip()]


@dataclass(frozen=True, slots=True)
class NamePattern:
    """A pattern that a whole name has to match.

    It is compared piece by piece, carrying every place the pieces so far can end at: neither a wide range nor many
    stars make it slow.
    """

    pieces: tuple[_Piece, ...]

    @classmethod
    def parse(cls, text: str) -> NamePattern:
        """Reads a pattern.

        Raises:
            UsageError: A bracket is open or does not hold numbers, or the ranges stand for more than 100,000 names.
        """
        pieces = tuple(_piece(match, text) for match in _TOKEN.finditer(text))
        names = math.prod(piece.count for piece in pieces if isinstance(piece, _Numbers))
        if names > MOST_NAMES:
            raise UsageError(
                f"The range in {text[:80]!r} stands for {names:,} names, more than {MOST_NAMES:,}.",
                next_step="Use a glob such as web* instead.",
            )
        return cls(pieces)

    def matches(self, name: str) -> bool:
        """Says whether the whole name fits; upper and lower case differ."""
        places = {0}
        for piece in self.pieces:
            places = {end for place in places for end in piece.ends(name, place)}
        return len(name) in places


class _Piece(Protocol):
    def ends(self, name: str, start: int) -> Iterator[int]:
        """Every place in the name where this piece can end when it begins at `start`."""
        ...


@dataclass(frozen=True, slots=True)
class _Text:
    text: str

    def ends(self, name: str, start: int) -> Iterator[int]:
        if name.startswith(self.text, start):
            yield start + len(self.text)


class _AnyText:
    def ends(self, name: str, start: int) -> Iterator[int]:
        yield from range(start, len(name) + 1)


class _AnyCharacter:
    def ends(self, name: str, start: int) -> Iterator[int]:
        if start < len(name):
            yield start + 1


@dataclass(frozen=True, slots=True)
class _Numbers:
    """What stands in one pair of brackets; each range is (first, last, digits at least)."""

    ranges: Sequence[tuple[int, int, int]]

    @property
    def count(self) -> int:
        return sum(last - first + 1 for first, last, _ in self.ranges)

    def ends(self, name: str, start: int) -> Iterator[int]:
        for end in range(start + 1, min(start + MOST_DIGITS, len(name)) + 1):
            if self._holds(name[start:end]):
                yield end

    def _holds(self, digits: str) -> bool:
        if not (digits.isascii() and digits.isdigit()):
            return False
        number = int(digits)
        return any(first <= number <= last and digits == str(number).zfill(width) for first, last, width in self.ranges)


def _piece(match: re.Match[str], pattern: str) -> _Piece:
    if match["stray"]:
        raise UsageError(f"A bracket in {pattern[:80]!r} has no partner.", next_step="A range looks like web[1-3].")
    if match["numbers"] is not None:
        return _Numbers(tuple(_range(item.strip(), pattern) for item in match["numbers"].split(",")))
    if match["star"]:
        return _AnyText()
    return _AnyCharacter() if match["one"] else _Text(match["text"])


def _range(item: str, pattern: str) -> tuple[int, int, int]:
    match = _NUMBERS.fullmatch(item)
    if not match:
        raise UsageError(
            f"{item[:40]!r} in {pattern[:80]!r} is not a range of numbers.",
            next_step="A range looks like web[1-3], web[01-10] or web[1,4-6].",
        )
    first, last = match[1], match[2] or match[1]
    if int(first) > int(last):
        raise UsageError(
            f"The range {item} in {pattern[:80]!r} runs backwards.", next_step="Write the lower end first."
        )
    return int(first), int(last), len(first) if first.startswith("0") else 1
