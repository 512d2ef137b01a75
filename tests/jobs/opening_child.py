"""A process of its own that opens ledgers at the same moment as others do."""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

from anyio import run

from picoclaw_fleet.errors import LedgerError
from picoclaw_fleet.jobs.ledger import Ledger


def open_each(files: Sequence[Path], together: Barrier, said: Connection) -> None:
    """Opens one after the other, as the main function of a process, and tells what was said against it."""
    refusals: list[str] = []
    for file in files:
        together.wait()
        try:
            run(_open, file)
        except LedgerError as error:
            refusals.append(str(error))
    said.send(refusals)


async def _open(file: Path) -> None:
    ledger = Ledger(file)
    try:
        await ledger.open()
    finally:
        await ledger.aclose()
