"""The release that this stand-in stands for, and the error that ends a command."""

from __future__ import annotations

import os

VERSION = "0.2.9"

RUNNING = os.environ.get("FAKE_PICOCLAW_VERSION") or VERSION
RELEASE = tuple(int(part) for part in RUNNING.lstrip("v").split("-")[0].split("."))
# Of the three releases that are imitated, the newest one that is not newer than RELEASE: 0.1.2 is FIRST, 0.2.9 is
# LATEST, and 0.2.4 is neither.
FIRST = RELEASE < (0, 2, 4)
LATEST = RELEASE >= (0, 2, 9)
SCHEMA = 3 if LATEST else 1
HOME = os.environ.get("HOME", "/")
LOGO = "🦞"

LOADING, CREATING, PROCESSING = "loading config", "creating provider", "processing message"


class CommandError(Exception):
    """Ends the command with exit status 1; the stage decides the wording.

    The usage is what is told besides, on stderr; None for the usage itself. 0.2.9 tells it to who gave a wrong flag
    only, 0.2.4 whatever went wrong.
    """

    def __init__(self, detail: str, stage: str = "", usage: str | None = "" if LATEST else None) -> None:
        super().__init__(detail)
        self.stage = stage
        self.usage = usage
