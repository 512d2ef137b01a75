"""`python -m bench`: runs the measurements one after another, and writes the report."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from bench import machine, report
from bench.figures import Measurement
from bench.measurements import ALL

_DOCS = Path(__file__).parents[1] / "docs"


async def main() -> None:
    """Measures and reports."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--only", action="append", choices=list(ALL), default=[], help="measure this alone; repeatable")
    parser.add_argument("--rounds", type=int, default=0, metavar="N", help="rounds whose median counts (5)")
    parser.add_argument("--quick", action="store_true", help="small sizes and 1 round, to see that it works")
    parser.add_argument("--out", type=Path, default=_DOCS, metavar="FOLDER", help="where to write the report (docs)")
    chosen = parser.parse_args()
    rounds = chosen.rounds or (1 if chosen.quick else 5)
    _end_well_on_sigterm()
    described = machine.describe()
    measurements: list[Measurement] = []
    for name in chosen.only or ALL:
        measurements.append(await ALL[name](rounds, quick=chosen.quick))
        print(report.section(measurements[-1]), flush=True)
        # What is measured stays, even if something fails later.
        report.write(measurements, described, chosen.out)
    goals = [goal for measurement in measurements for goal in measurement.goals]
    print(report.goals_table(goals) if goals else "No goals were measured.")


def _end_well_on_sigterm() -> None:
    """No host of the lab is to stay behind."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)
