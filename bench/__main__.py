"""`python -m bench`: runs the measurements one after another, and writes the report."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from bench import report
from bench.figures import Measurement
from bench.measurements import ALL

DOCS = Path(__file__).parents[1] / "docs"


async def main() -> int:
    """Measures and reports. Tells whether all goals were met."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--only", action="append", choices=list(ALL), default=[], help="measure this alone; repeatable")
    parser.add_argument("--rounds", type=int, default=0, help="rounds of which the median counts (5)")
    parser.add_argument("--quick", action="store_true", help="small sizes and 1 round, to see that it works")
    parser.add_argument("--out", type=Path, default=DOCS, help="where to write the report")
    chosen = parser.parse_args()
    rounds = chosen.rounds or (1 if chosen.quick else 5)
    measurements: list[Measurement] = []
    for name in chosen.only or ALL:
        measurements.append(await ALL[name](rounds, quick=chosen.quick))
        print(report.section(measurements[-1]), flush=True)
        report.write(measurements, chosen.out)
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
