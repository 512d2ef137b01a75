"""Words of sentences that we write."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """`1 host`, `2 hosts`."""
    return f"{number} {noun}" + "s" * (number != 1)
