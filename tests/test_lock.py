"""The locks in requirements/ hold everything that is installed, and work with any package index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([a-z0-9-]+)==", re.MULTILINE)


def names(requirements: list[str]) -> set[str]:
    """The bare names of requirements such as `pyright[nodejs]>=1.1`."""
    return {re.split(r"[^\w-]", requirement)[0] for requirement in requirements}


@pytest.mark.parametrize("lock", ["run.txt", "dev.txt", "bench.txt"])
def test_a_lock_names_no_index(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index" not in text


def test_each_dependency_of_the_project_is_locked() -> None:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    run = set(PIN.findall((ROOT / "requirements" / "run.txt").read_text(encoding="utf-8")))
    dev = set(PIN.findall((ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")))
    assert names(project["project"]["dependencies"]) | names(project["build-system"]["requires"]) <= run
    assert names(project["dependency-groups"]["dev"]) | run <= dev
    bench = set(PIN.findall((ROOT / "requirements" / "bench.txt").read_text(encoding="utf-8")))
    assert names(project["dependency-groups"]["bench"]) <= bench
