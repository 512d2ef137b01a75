"""Patterns of host names: `web*`, `node?`, `web[1-3]`, `rack[1-2]-node[01,05-10]`."""

from __future__ import annotations

import math
import re
from collections.abc import Set
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from picoclaw_fleet.errors import UsageError

LONGEST = 4000
MOST_NAMES = 100_000
MOST_DIGITS = 9

_TOKEN = re.compile(r"\[(?P<numbers>[^\[\]]*)\]|(?P<wild>[*?]+)|(?P<text>[^\[\]*?]+)|(?P<stray>[\[\]])")
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
            UsageError: A bracket is open or does not hold numbers, the ranges stand for more than 100,000 names, or it
                has more than 4,000 characters.
        """
        if len(text) > LONGEST:
            raise UsageError(
                f"The selector {text[:80]!r}... has {len(text):,} characters, more than {LONGEST:,}.",
                next_step="Use a glob such as web*, or a tag.",
            )
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
        places: Set[int] = {0}
        for piece in self.pieces:
            places = piece.ends(name, places)
            if not places:
                return False
        return len(name) in places


class _Piece(Protocol):
    def ends(self, name: str, starts: Set[int]) -> Set[int]:
        """Every place in the name where this piece can end when it begins at one of `starts`, which aren't none."""
        ...


@dataclass(frozen=True, slots=True)
class _Text:
    text: str

    def ends(self, name: str, starts: Set[int]) -> Set[int]:
        return {start + len(self.text) for start in starts if name.startswith(self.text, start)}


@dataclass(frozen=True, slots=True)
class _Wild:
    """What stars and question marks stand for: so many characters, or so many and more."""

    least: int
    and_more: bool

    def ends(self, name: str, starts: Set[int]) -> Set[int]:
        if self.and_more:
            return set(range(min(starts) + self.least, len(name) + 1))
        return {start + self.least for start in starts if start + self.least <= len(name)}


@dataclass(frozen=True)
class _Numbers:
    """What stands in one pair of brackets; each range is (first, last, digits at least)."""

    ranges: tuple[tuple[int, int, int], ...]

    @property
    def count(self) -> int:
        return sum(last - first + 1 for first, last, _ in self.ranges)

    def ends(self, name: str, starts: Set[int]) -> Set[int]:
        places = ((start, start + digits) for start in starts for digits in range(1, MOST_DIGITS + 1))
        return {end for start, end in places if end <= len(name) and name[start:end] in self._spelled}

    @cached_property
    def _spelled(self) -> frozenset[str]:
        return frozenset(
            str(number).zfill(width) for first, last, width in self.ranges for number in range(first, last + 1)
        )


def _piece(match: re.Match[str], pattern: str) -> _Piece:
    if match["stray"]:
        raise UsageError(f"A bracket in {pattern[:80]!r} has no partner.", next_step="A range looks like web[1-3].")
    if match["numbers"] is not None:
        return _Numbers(tuple(_range(item.strip(), pattern) for item in match["numbers"].split(",")))
    if match["wild"]:
        return _Wild(match["wild"].count("?"), "*" in match["wild"])
    return _Text(match["text"])


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
