"""The demo, as people run it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_who_reads_no_more_of_the_demo_than_its_beginning_sees_no_traceback() -> None:
    done = subprocess.run(
        ["sh", "-c", '"$0" -m demo | head -n 1', sys.executable],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith("A fleet of embedded hosts")
    assert done.stderr == ""
