"""The ledger, the outputs, and the place they take."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from picoclaw_fleet.doctor.finding import Finding, error, ok, warning
from picoclaw_fleet.text.wording import counted

_LEAST_FREE = 200 << 20


def ledger(folder: Path) -> Iterator[Finding]:
    """The folder for state, and the ledgers in it. Nothing is written.

    Args:
        folder: The folder for state.
    """
    try:
        there = next(place for place in (folder, *folder.parents) if _is_there(place))
    except OSError as problem:
        yield error(
            "ledger",
            f"{folder} can't be looked at, so no job can be noted down: {problem.strerror}.",
            "Let the user that runs this into it, or name another folder with PICOCLAW_FLEET_STATE_DIR.",
        )
        return
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield error(
            "ledger",
            f"{there} can't be written to, so no job can be noted down.",
            "Make it writable, or name another folder with PICOCLAW_FLEET_STATE_DIR.",
        )
        return
    free = shutil.disk_usage(there).free
    if free < _LEAST_FREE:
        yield warning(
            "ledger",
            f"{there} has {free >> 20} MB free; outputs of jobs may find no room.",
            "Free some space, or name another folder with PICOCLAW_FLEET_STATE_DIR.",
        )
    files = sorted(folder.glob("ledger-*.sqlite"))
    if not files:
        yield ok("ledger", f"There are no jobs yet; the ledger will be in {folder}")
    for file in files:
        yield _of_file(file)


def _is_there(place: Path) -> bool:
    try:
        place.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _of_file(file: Path) -> Finding:
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
            ((verdict,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
            ((total, open_),) = connection.execute(
                "SELECT count(*), count(*) - count(finished_at) FROM jobs"
            ).fetchall()
    except sqlite3.OperationalError as problem:
        # Its surroundings are to blame: a full disk, a mode, another process. Who moved the file away would lose jobs.
        return error(
            "ledger",
            f"The ledger {file} can't be read: {problem}.",
            f"Jobs on hosts go on. Free some space, and see that owner and mode of {file.parent} are right.",
        )
    except sqlite3.DatabaseError as problem:
        verdict, total, open_ = str(problem), 0, 0
    if verdict != "ok":
        return error(
            "ledger",
            f"The ledger {file} is damaged: {verdict}.",
            "Jobs on hosts go on. Move the file away; a new one is made.",
        )
    return ok("ledger", f"{file} has {counted(total, 'job')}, {open_} of them not finished")
