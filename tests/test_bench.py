"""The benchmarks themselves work: figures are right, and a whole run ends well and leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from bench import chart, lab, report
from bench.__main__ import report_folder
from bench.contenders import lineup
from bench.cpu import Processes
from bench.figures import Chart, Figures, Goal, Measurement

ROOT = Path(__file__).parents[1]
NO_LAB = lab.missing()

needs_lab = pytest.mark.skipif(bool(NO_LAB), reason=f"there can be no lab here: {NO_LAB}")


@pytest.fixture
def bench(tmp_path: Path) -> Generator[subprocess.Popen[str]]:
    """A small run, whose report goes to tmp_path."""
    command = [sys.executable, "-m", "bench", "--quick", "--only", "fan_out", "--out", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


@needs_lab
def test_a_run_ends_with_a_report_of_all_who_took_part(bench: subprocess.Popen[str], tmp_path: Path) -> None:
    printed, _ = bench.communicate()
    assert bench.returncode == 0
    assert "connected before" in printed
    data = json.loads((tmp_path / "benchmarks.json").read_text(encoding="utf-8"))
    took_part = {row["contender"] for row in data["measurements"][0]["rows"]}
    assert {lineup.MCP, lineup.MUX_SAME, lineup.BARE_SAME, lineup.FAST_LOOP} == took_part
    assert all(row["wall_s"] > 0 and row["host_cpu_ms_per_task"] > 0 for row in data["measurements"][0]["rows"])
    assert data["machine"]["asyncssh"]
    assert lineup.MCP in (tmp_path / "benchmarks.md").read_text(encoding="utf-8")


@needs_lab
def test_a_run_that_is_stopped_stops_its_hosts(bench: subprocess.Popen[str]) -> None:
    hosts: list[int] = []
    while not hosts:
        with pytest.raises(subprocess.TimeoutExpired):
            bench.wait(0.05)
        hosts = [pid for pid in Processes().below(bench.pid) if _command(pid).startswith("unshare")]
    bench.send_signal(signal.SIGTERM)
    bench.communicate()
    assert bench.returncode == 128 + signal.SIGTERM
    assert [pid for pid in hosts if _command(pid).startswith("unshare")] == []


def test_the_cpu_of_a_process_holds_that_of_its_ended_children() -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}]); print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert Processes().seconds([process.pid]) >= 0.2
        process.communicate(b"\n")


def test_a_row_has_medians_and_the_ratio_to_the_reference() -> None:
    reference = Figures("theirs", wall=[1, 2, 9], controller=[1, 1, 1], hosts=[1, 1, 1])
    figures = Figures("ours", wall=[0.5, 1, 0.25], controller=[0.1, 0.2, 0.3], hosts=[1, 2, 3], first=[0.1])
    assert figures.row(100, reference) == {
        "contender": "ours",
        "wall_s": 0.5,
        "ratio": 0.25,
        "first_s": 0.1,
        "controller_cpu_ms_per_task": 2.0,
        "host_cpu_ms_per_task": 20.0,
        "peak_memory_mb": None,
    }


def test_the_report_tells_goals_that_were_missed(tmp_path: Path) -> None:
    goals = (Goal(2, "be fast", 0.5, 1.0), Goal(1, "be small", 3.0, 2.0))
    measurement = Measurement(
        "x", "Things", [{"case": "ten", "contender": "a"}, {"case": "ten", "b": 1, "c": None}], goals
    )
    folder = tmp_path / "a new/folder"
    report.write([measurement], {"processor": "one"}, folder)
    text = (folder / "benchmarks.md").read_text(encoding="utf-8")
    assert "| 1 | be small | 3 | 2 | **missed** |\n| 2 | be fast | 0.5 | 1 | met |" in text
    assert "### ten\n\n| contender | b |\n| --- | --- |\n| a |  |\n|  | 1 |" in text
    assert [goal["met"] for goal in json.loads((folder / "benchmarks.json").read_text())["goals"]] == [True, False]


def test_only_a_whole_run_takes_the_place_of_the_published_report(tmp_path: Path) -> None:
    assert report_folder(None, whole=True) == ROOT / "docs"
    assert report_folder(None, whole=False) is None
    assert report_folder(tmp_path, whole=False) == tmp_path


def test_a_chart_is_well_formed_and_its_longest_bar_fits() -> None:
    drawn = ElementTree.fromstring(chart.drawn([Chart("a & b", (("picoclaw-fleet", 1.0), ("<ssh> &", 80.0)))]))
    bars = list(drawn.iter("{http://www.w3.org/2000/svg}rect"))
    assert [bar.get("class") for bar in bars] == ["bar ours", "bar"]
    ends = [float(bar.get("x", "")) + float(bar.get("width", "")) for bar in bars]
    assert max(ends) < float(drawn.get("width", ""))


def test_nobody_takes_part_twice() -> None:
    for entries in (lineup.warm(), lineup.cold()):
        names = [entry.name for entry in entries]
        assert len(set(names)) == len(names)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return ""
