"""The documents say what the code does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from docs.commands import DOCUMENTS, LINES, json_commands

from picoclaw_fleet.errors import State
from picoclaw_fleet.releases.source import REPOSITORIES

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def test_the_references_are_what_models_and_commands_say() -> None:
    command = [sys.executable, "-c", "import json, reference; print(json.dumps(reference.documents()))"]
    made = subprocess.run(command, cwd=DOCS, capture_output=True, text=True, check=True)
    written = {name: (DOCS / name).read_text(encoding="utf-8") for name in ("configuration.md", "command-line.md")}
    assert json.loads(made.stdout) == written, "run: .venv/bin/python docs/reference.py"


def test_each_command_with_json_has_its_output_described() -> None:
    assert json_commands() == {name.removesuffix(" NAME") for name in (*DOCUMENTS, *LINES)}


def test_the_readme_explains_each_state_in_which_a_job_may_end() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    ends = [state.value for state in State if state.finished]
    assert re.findall(r"^\| `(\w+)` \| ", readme.split("## Outcomes")[1], flags=re.MULTILINE) == ends


def test_where_picoclaw_comes_from_is_told_in_the_order_in_which_it_is_looked_for() -> None:
    for document in (ROOT / "README.md", DOCS / "configuration.md", DOCS / "security.md"):
        text = document.read_text(encoding="utf-8")
        assert sorted(REPOSITORIES, key=text.index) == [*REPOSITORIES], document.name


def test_links_between_documents_lead_somewhere() -> None:
    for document in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
