"""PicoClaw's own binaries, where somebody has some: `make picoclaw PICOCLAW=FOLDER` names their folder."""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from pathlib import Path

_VERSION = re.compile(r"^🦞 picoclaw v?(\S+)", re.MULTILINE)


@cache
def binaries() -> dict[str, Path]:
    """The executables in $PICOCLAW_FLEET_BINARIES by the version that each says it is, the oldest first."""
    folder = os.environ.get("PICOCLAW_FLEET_BINARIES", "")
    found = (
        {_version(path): path.resolve() for path in Path(folder).iterdir() if os.access(path, os.X_OK)}
        if folder
        else {}
    )
    return dict(sorted(found.items(), key=lambda item: _numbers(item[0])))


def _version(binary: Path) -> str:
    done = subprocess.run([binary, "version"], capture_output=True, text=True, check=True, timeout=20)
    said = _VERSION.search(done.stdout)
    assert said is not None, f"{binary} does not say which version of PicoClaw it is"
    return said[1]


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]
