"""How the command starts, before there is a surface to speak of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

INTERRUPTED = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"


@pytest.mark.parametrize(("imported", "arguments"), [("click", ["status"]), ("mcp", [])])
def test_ctrl_c_while_modules_are_imported_ends_it_without_a_traceback(
    tmp_path: Path, imported: str, arguments: list[str]
) -> None:
    (tmp_path / f"{imported}.py").write_text(INTERRUPTED)
    done = subprocess.run(
        [sys.executable, "-m", "picoclaw_fleet", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_what_the_locale_has_no_character_for_is_printed_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "fleet.json").write_text('{"hosts": [{"name": "a", "host": "snow☃"}]}', encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "picoclaw_fleet", "hosts", "--config", "fleet.json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "1 host.\n")
    assert r"snow\u2603" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "closed"), [("", "<&-"), ("hosts --config fleet.json", ">&-"), ("--help", "<&- >&- 2>&-")]
)
def test_it_works_without_the_standard_streams(tmp_path: Path, arguments: str, closed: str) -> None:
    (tmp_path / "fleet.json").write_text('{"hosts": []}')
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m picoclaw_fleet {arguments} {closed}', sys.executable],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done
