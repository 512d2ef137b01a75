"""What docs/command-line.md says of --json, held against what is printed."""

from __future__ import annotations

import json
from collections.abc import Sequence

from docs.commands import DOCUMENTS, LINES

from picoclaw_fleet.cli.exit_codes import ExitCode


def check_json(args: Sequence[str], code: int, out: str) -> None:
    """Fails where the output of a command with --json is not as it is documented.

    Args:
        args: The command's words.
        code: Its exit code.
        out: What it printed.
    """
    name = args[0]
    if args[:2] == ("clients", "show"):
        name = "clients show NAME" if len(args) > 2 and not args[2].startswith("-") else "clients show"
    if name in LINES:
        lines = [json.loads(line) for line in out.splitlines()]
        kinds = [line.pop("type") for line in lines]
        for kind, line in zip(kinds, lines, strict=True):
            LINES[name][kind].model_validate(line)
        assert kinds[:1] == ["version"]
        assert kinds[-1] == ("version" if code in (ExitCode.USAGE, ExitCode.BROKEN) else "result")
    elif code not in (ExitCode.USAGE, ExitCode.BROKEN):
        DOCUMENTS[name].model_validate_json(out)
