"""Numbers as hosts say them. Whatever a host says, it must neither stop the others nor break a reply."""

from __future__ import annotations

LONGEST_SECONDS = 1e9
"""Nothing that we are told of takes longer than these 31 years."""

MOST = 2**53
"""Above it not every client can tell an integer from the next one (RFC 8259, section 6)."""


def seconds(word: str) -> float:
    """A duration in seconds.

    Raises:
        ValueError: It is none.
    """
    return _between(float(word), LONGEST_SECONDS)


def number(word: str) -> float:
    """A number that is finite and not negative.

    Raises:
        ValueError: It is none.
    """
    return _between(float(word), MOST)


def count(word: str) -> int:
    """An integer that is not negative.

    Raises:
        ValueError: It is none.
    """
    return int(_between(int(word), MOST))


def _between(value: float, most: float) -> float:
    if not 0 <= value <= most:  # as NaN isn't, either
        raise ValueError("out of range")
    return value
