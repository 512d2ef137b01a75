"""Values made from files: kept, and made again once one of the files has changed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Generic, TypeVar

Stamp = tuple[int, int, int] | None
Note = Callable[[Path], None]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def stamp(path: Path) -> Stamp:
    """What tells one version of a file from the next: size, time and inode; None where it can't be seen."""
    try:
        status = os.stat(path)  # noqa: PTH116 - Path.stat costs twice as much, and this runs once per file and connection
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


class FileCache(Generic[K, V]):
    """Values by key, each with the stamps of the files it was made from. Meant for worker threads: it blocks.

    A failure to make a value is never kept, so that mending the cause is enough.
    """

    def __init__(self) -> None:
        self._entries: dict[K, tuple[dict[Path, Stamp], V]] = {}
        # One at a time: two hundred hosts that start together read the same file once.
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[Note], V]) -> V:
        """The value for `key`, made by `make` when there is none or when a file behind it has changed.

        Args:
            key: Names the value.
            make: Makes it, and calls what it is given with each file just before it looks at it (there or not).
        """
        with self._lock:
            entry = self._entries.get(key)
            if entry is not None and all(stamp(path) == seen for path, seen in entry[0].items()):
                return entry[1]
            stamps: dict[Path, Stamp] = {}

            def note(path: Path) -> None:
                stamps.setdefault(path, stamp(path))

            value = make(note)
            self._entries[key] = stamps, value
            return value
