"""Words of sentences that we write."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """`1 host`, `2 hosts`."""
    return f"{number} {noun}" + "s" * (number != 1)


def with_reason(state: str, reason: str | None) -> str:
    """`failed (exit_code)`, but not `cancelled (cancelled)`."""
    return f"{state} ({reason})" if reason and reason != state else state
