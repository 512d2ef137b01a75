"""docs/troubleshooting.md knows whatever can be the trouble."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from picoclaw_fleet import doctor
from picoclaw_fleet.errors import Reason

TEXT = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


def test_each_reason_is_explained_and_no_other() -> None:
    assert re.findall(r"^\| `(\w+)` \|", TEXT, flags=re.MULTILINE) == [reason.value for reason in Reason]


def test_each_finding_of_the_doctor_is_explained_and_no_other() -> None:
    rows = re.findall(r"^\| (\w+) \| (error|warning|info) \| ([^|]+) \| [^|]+ \|$", TEXT, flags=re.MULTILINE)
    findings = list(_findings())
    assert len(findings) > 20
    for finding in findings:
        explained = [row for row in rows if finding.is_told_by(*row)]
        assert len(explained) == 1, f"{finding} has {len(explained)} rows in troubleshooting.md"
    for row in rows:
        assert any(finding.is_told_by(*row) for finding in findings), f"the doctor never finds {row}"


@dataclass(frozen=True)
class Finding:
    """Something that the doctor may find, as its source has it.

    Attributes:
        check: What was looked at.
        level: How bad it is.
        pattern: Fits the message, whatever is filled in.
    """

    check: str
    level: str
    pattern: str

    def is_told_by(self, check: str, level: str, message: str) -> bool:
        """Whether a row of the table is about it."""
        return (check, level) == (self.check, self.level) and re.fullmatch(self.pattern, message) is not None


def _findings() -> Iterator[Finding]:
    for module in Path(doctor.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if module.name != "finding.py" and isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                named = {keyword.arg: keyword.value for keyword in node.keywords}
                match node.func.id, node.args:
                    case "warning" | "error" as level, [check, message, _]:
                        yield Finding(_pattern(check), level, _pattern(message))
                    case "Finding", []:
                        level = ast.unparse(named["level"]).removeprefix("Level.").lower()
                        yield Finding(_pattern(named["check"]), level, _pattern(named["message"]))
                    case _:
                        pass


def _pattern(text: ast.expr) -> str:
    match text:
        case ast.Constant(value=str(value)):
            return re.escape(value)
        case ast.JoinedStr(values=parts):
            return "".join(map(_pattern, parts))
        case _:
            return ".+"
