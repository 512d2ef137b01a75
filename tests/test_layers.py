"""The shape of the code: which module may import which, and how long one may be."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAX_LINES = 500

WRONG_IMPORTS = {
    "picoclaw_fleet.errors": "picoclaw_fleet.jobs",
    "picoclaw_fleet.config.problems": "picoclaw_fleet.jobs",
    "picoclaw_fleet.config.values": "picoclaw_fleet.config.problems",
    "picoclaw_fleet.transport.astray": "picoclaw_fleet.jobs",
    "picoclaw_fleet.mcp_server.astray": "picoclaw_fleet.cli",
    "picoclaw_fleet.cli.astray": "picoclaw_fleet.mcp_server",
    "picoclaw_fleet.worker.astray": "asyncssh",
    "picoclaw_fleet.jobs.astray": "rich",
    "picoclaw_fleet.fleet": "mcp",
}


def check_layers(tree: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts of pyproject.toml over the package in `tree`."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree / "server"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
    )


def test_imports_go_one_way() -> None:
    checked = check_layers(ROOT)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_imports_the_wrong_way_and_modules_without_a_layer_are_found(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    package = tmp_path / "server" / "picoclaw_fleet"
    for layer in ("", "config", "transport", "worker", "jobs", "mcp_server", "cli"):
        (package / layer).mkdir(parents=True, exist_ok=True)
        (package / layer / "__init__.py").touch()
    (package / "utils.py").touch()
    for module, imported in WRONG_IMPORTS.items():
        path = package.parent / Path(*module.split(".")).with_suffix(".py")
        path.write_text(f"def late() -> None:\n    import {imported}\n", encoding="utf-8")

    checked = check_layers(tmp_path)

    assert checked.returncode == 1, checked.stdout + checked.stderr
    assert dict(re.findall(r"- +(\S+) -> (\S+) \(l", checked.stdout)) == WRONG_IMPORTS
    assert "- picoclaw_fleet.utils\n" in checked.stdout


def test_no_module_is_longer_than_one_can_read_at_once() -> None:
    folders = [ROOT / name for name in ("server", "tests", "demo", "bench", "skill")]
    modules = [path for folder in folders for kind in ("*.py", "*.sh") for path in folder.rglob(kind)]
    lengths = {path.relative_to(ROOT): path.read_bytes().count(b"\n") for path in modules}
    assert ROOT / "server" / "picoclaw_fleet" / "errors.py" in modules
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}
