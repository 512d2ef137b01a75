"""The snippets of the documents, and the script that a document is to whoever types all of them in their order."""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

from picoclaw_fleet.config.file import DEFAULT_PATH

ROOT = Path(__file__).parents[2]
DOCUMENTS = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "skill" / "picoclaw-fleet" / "SKILL.md",
)
SHELLS = ("sh", "bash")
SCRIPTS = (*SHELLS, "python")
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """A piece between fences.

    Attributes:
        document: Where it stands.
        line: The number of its opening fence, from 1.
        language: The word after that; "" for none.
        text: What stands between, without the indentation of the fences.
    """

    document: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"

    @property
    def is_fleet_config(self) -> bool:
        """Whether it is one that knows hosts."""
        return self.language == "json" and bool(json.loads(self.text).get("hosts"))


def snippets(document: Path) -> list[Snippet]:
    """All of a document."""
    text = document.read_text(encoding="utf-8")
    return [
        Snippet(document, text.count("\n", 0, fence.start()) + 1, fence[2], textwrap.dedent(fence[3]))
        for fence in _FENCE.finditer(text)
    ]


def audit_line() -> Snippet:
    """The one that shows a line of the audit log."""
    (line,) = (one for one in snippets(ROOT / "docs" / "http.md") if '"outcome"' in one.text)
    return line


def script(document: Path) -> str:
    """What is typed, for bash; each line has the number that it has in the document.

    A fleet config is written to its place, and Python is given to Python.
    """
    lines = [""] * (document.read_text(encoding="utf-8").count("\n") + 1)
    for snippet in snippets(document):
        body = snippet.text.splitlines()
        if snippet.language in SCRIPTS or snippet.is_fleet_config:
            lines[snippet.line : snippet.line + len(body)] = body
        if snippet.language == "python" or snippet.is_fleet_config:
            reader = "python -" if snippet.language == "python" else f"cat >{DEFAULT_PATH}"
            lines[snippet.line - 1] = f"{reader} <<'END_OF_SNIPPET'"
            lines[snippet.line + len(body)] = "END_OF_SNIPPET"
    return "\n".join(lines) + "\n"
