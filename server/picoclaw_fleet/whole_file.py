"""The user's own files, which are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_whole(file: Path, text: str) -> None:
    """Puts a text into a file, in one step, with the mode that the file has, or for its owner only.

    Raises:
        OSError: It can't be written; it is as it was, and nothing lies beside it.
    """
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
    descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "wb") as incoming:
            incoming.write(text.encode())
            os.fchmod(incoming.fileno(), mode)
            os.fsync(incoming.fileno())
        Path(draft).replace(file)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
