"""`python -m bench`: runs the measurements one after another, and writes the report."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import traceback
from pathlib import Path

from bench import lab, machine, report
from bench.figures import Measurement
from bench.measurements import ALL

_DOCS = Path(__file__).parents[1] / "docs"


async def main() -> int:
    """Measures and reports; 1 when something could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--only", action="append", choices=list(ALL), default=[], help="measure this alone; repeatable")
    parser.add_argument("--rounds", type=int, default=0, metavar="N", help="rounds whose median counts (5)")
    parser.add_argument("--quick", action="store_true", help="small sizes and 1 round, to see that it works")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where to write the report (docs, but for --only and --quick: nowhere)",
    )
    chosen = parser.parse_args()
    if missing := lab.missing():
        parser.error(f"there can be no lab here: {missing}.")
    rounds = chosen.rounds or (1 if chosen.quick else 5)
    _end_well_on_sigterm()
    folder = report_folder(chosen.out, whole=not (chosen.only or chosen.quick))
    described = machine.describe()
    measurements: list[Measurement] = []
    failed: list[str] = []
    for name in chosen.only or ALL:
        try:
            measurements.append(await ALL[name](rounds, quick=chosen.quick))
        except Exception:
            traceback.print_exc()
            failed.append(name)
            continue
        print(report.section(measurements[-1]), flush=True)
        if folder is not None:
            report.write(measurements, described, folder)
    goals = [goal for measurement in measurements for goal in measurement.goals]
    print(report.goals_table(goals) if goals else "No goals were measured.")
    if failed:
        print(f"Could not be measured, see above: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


def report_folder(wanted: Path | None, *, whole: bool) -> Path | None:
    """Where the report goes; None for nowhere: a part must not take the place of the published one."""
    return wanted or (_DOCS if whole else None)


def _end_well_on_sigterm() -> None:
    """No host of the lab is to stay behind."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main()))
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)
