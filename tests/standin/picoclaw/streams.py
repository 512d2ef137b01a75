"""Output, files and the log."""

from __future__ import annotations

import os
import sys
import time

from plain_json import dumps
from release import FIRST, HOME, LATEST


def out(*parts: str | bytes) -> None:
    for text in parts:
        sys.stdout.buffer.write(text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape"))
    sys.stdout.buffer.flush()


def err(text: str | bytes) -> None:
    sys.stderr.buffer.write(text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape"))
    sys.stderr.buffer.flush()


def read_text(path: str) -> str:
    """Returns what a file holds, "" where there is no such file."""
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def write_text(path: str, text: str, mode: int = 0o644) -> None:
    """Replaces a file as a whole; being killed leaves a temporary file, as with the real one."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = os.path.join(os.path.dirname(path), f".tmp-{os.getpid()}-{time.time_ns()}")
    append_text(temporary, text, mode)
    os.replace(temporary, path)


def append_text(path: str, text: str, mode: int = 0o644) -> None:
    """Appends with one write, so that lines of several processes don't mix."""
    file = os.open(os.path.join(HOME, path), os.O_WRONLY | os.O_CREAT | os.O_APPEND, mode)
    os.write(file, text.encode("utf-8", "replace"))
    os.close(file)


def print_banner(*, plain: bool) -> None:
    start, end = ("", "") if plain else ("\033[1;38;2;213;70;70m", "\033[0m")
    rows = ["╔" + "═" * 60 + "╗", *["║" + "█ ▄█▀ ║ ╚═╝ " * 5 + "║"] * 4, "╚" + "═" * 60 + "╝"]
    out("\r\n" + "".join(f"{start}{row}\n" for row in rows) + f" {end}\r\n")


class Log:
    """The log: on stderr in 0.1.2, later on stdout from a level up, in 0.2.9 in a file instead if one is named."""

    levels = ("debug", "info", "warn", "error", "fatal")
    shown = ("DBG", "INF", "WRN", "ERR", "FTL")

    def __init__(self) -> None:
        self.level = "info"
        self.path = ""

    def configure(self, level: str) -> None:
        """Sets the lowest level that comes out; before the settings are loaded this is always `info`."""
        self.level = level.lower() if level.lower() in self.levels else "info"

    def write(self, level: str, message: str) -> None:
        rank = self.levels.index(level)
        if rank < self.levels.index(self.level):
            return
        clock, short = time.strftime("%H:%M:%S"), self.shown[rank]
        if FIRST:
            err(f"{time.strftime('%Y/%m/%d')} {clock} [{time.strftime('%FT%TZ')}] [{level.upper()}] agent: {message}\n")
        elif self.path:
            append_text(self.path, dumps({"level": level, "message": message}) + "\n")
        elif LATEST or os.environ.get("NO_COLOR"):
            out(f"{clock} {short} agent loop.go:42 > {message}\n")
        else:
            out(f"\033[90m{clock}\033[0m \033[33m{short}\033[0m loop.go:42\033[36m >\033[0m {message}\n")


log = Log()
