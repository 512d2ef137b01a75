"""The names that come closest to a misspelt one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST = 64


def nearest(name: str, names: Iterable[str], limit: int = 3) -> list[str]:
    """Finds what the writer of a misspelt name may have meant.

    Args:
        name: What was written. Only its first 64 characters count: no right name is longer.
        names: The right names.
        limit: How many to return at most.

    Returns:
        The nearest names, best first, compared without regard to case; empty when none comes close.
    """
    by_folded = {right.casefold(): right for right in names}
    return [by_folded[found] for found in difflib.get_close_matches(name[:LONGEST].casefold(), by_folded, n=limit)]
