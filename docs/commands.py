"""The text of docs/command-line.md, from the commands themselves and the models of what they print."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from picoclaw_fleet.cli.app import build
from picoclaw_fleet.cli.documents import (
    ClientEntry,
    ClientList,
    End,
    HostList,
    MadeToken,
    Progress,
    Started,
    Version,
)
from picoclaw_fleet.cli.exit_codes import MEANINGS, OUT_OF_REACH
from picoclaw_fleet.doctor import Diagnosis
from picoclaw_fleet.results import HostEntry, HostsResult, JobEntry, JobResult, JobsResult

DOCUMENTS: dict[str, type[BaseModel]] = {
    "hosts": HostList,
    "status": HostsResult,
    "jobs": JobsResult,
    "doctor": Diagnosis,
    "clients show": ClientList,
    "clients show NAME": ClientEntry,
    "token": MadeToken,
}
"""The commands whose --json is one document, and which."""

_OF_JOBS: dict[str, type[BaseModel]] = {
    "version": Version,
    "started": Started,
    "progress": Progress,
    "job": JobResult,
    "result": End,
}
_OF_HOSTS: dict[str, type[BaseModel]] = {"version": Version, "host": HostEntry, "result": End}

LINES: dict[str, dict[str, type[BaseModel]]] = {
    "dispatch": _OF_JOBS,
    "map": _OF_JOBS,
    "logs": _OF_JOBS,
    "deploy": _OF_HOSTS,
    "teardown": _OF_HOSTS,
    "cancel": {"version": Version, "result": JobsResult},
}
"""The commands whose --json is a line for each event, and their lines by type."""

HEAD = """\
# The command line

<!-- Made by docs/reference.py from the commands and models in server/picoclaw_fleet; don't edit it here. -->

`picoclaw-fleet COMMAND --help` has the options and examples of a command. What holds for all:

- Answers and other data go to stdout; progress, summaries and errors to stderr. Colours are for terminals only, and not
  with `NO_COLOR`. Progress is a picture on a terminal and a line for each change elsewhere; `-q` leaves it out.
- `--config FILE` names the fleet config, see [configuration.md](configuration.md). `-v` says more, `-vv` still more.
- HOSTS are selectors: a name, `tag:x`, `arch:arm64`, `all`, a glob `web*`, a range `web[1-3]`, or `!x` to leave x out.
- Jobs outlive their command. Ctrl-C asks whether to stop them or to leave them running; a second one leaves them
  running, and `picoclaw-fleet logs --follow ID` goes back to them. A deploy or a teardown that is interrupted goes on
  with the same command.
- Without arguments and without a terminal on stdin it serves MCP, as `serve` does.
"""

EXIT_CODES = f"""\
Of several, 3 goes before 4, and 4 before 5. Out of reach means one of these reasons, see
[troubleshooting.md](troubleshooting.md): {", ".join(sorted(OUT_OF_REACH))}.

- `status` ends with 3 where a host is not ready; `doctor` with 3 where there is an error, warnings don't count.
- `logs` ends with 0 whatever has become of the jobs, unless it has waited for them with `--follow`.
- `dispatch` and `map` with `--detach` end with 0 where nothing has gone wrong by then.
- `cancel` ends with 4 where a host could not be reached; the job is stopped at the next contact.
- `add`, `trust` and `teardown` end with 2 where the answer was no, or nobody could be asked and `--yes` was missing.
- `serve --http` ends with 143 after SIGTERM and 130 after SIGINT.
"""

LINES_INTRO = """\
The long commands print a line of JSON for each event, at once. Each line is an object with a `type`: the first one is
`version`, the last one `result`. A command that can't begin ends after the first, with its error on stderr. New types
and fields come with a higher second number of `ui`; anything else would raise the first.
"""


def command_line() -> str:
    """The whole document."""
    commands = dict(_commands(build(lambda _: None)))
    parts = [
        HEAD,
        "## Commands\n\n" + _table(("command", "what it does"), _rows_of_commands(commands)),
        "## Exit codes\n\n" + _table(("code", "meaning"), ((f"{code:d}", said) for code, said in MEANINGS.items())),
        EXIT_CODES,
        "## --json: one document\n\n`config show` and `config schema` print JSON in any case.\n",
        _table(("command", "document"), _rows_of_documents()),
        "## --json: a line for each event\n\n" + LINES_INTRO,
        _table(("command", "lines"), ((f"`{name}`", ", ".join(map(_code, lines))) for name, lines in LINES.items())),
        _table(("line", "its other fields"), _rows_of_lines()),
        "## Fields\n\nWhat has nothing to say is left out, unless it is there always.\n",
        *(_fields(model) for model in _models()),
    ]
    return "\n".join(parts)


def json_commands() -> set[str]:
    """The commands that have --json."""
    commands = _commands(build(lambda _: None))
    return {name for name, command in commands if any("--json" in option.opts for option in command.params)}


def _commands(group: click.Group, path: Sequence[str] = ()) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, [*path, name])
        else:
            yield " ".join([*path, name]), command


def _rows_of_commands(commands: dict[str, click.Command]) -> Iterator[tuple[str, str]]:
    for name, command in commands.items():
        arguments = [param for param in command.params if isinstance(param, click.Argument)]
        with click.Context(command) as context:
            usage = " ".join([name, *(argument.make_metavar(context) for argument in arguments)])
        # Examples and lists stand behind \b, which keeps click from filling them up.
        said = re.split(r"\n\n?\s*\x08", command.help or "")[0]
        yield _code(usage.replace("|", ", ")), " ".join(said.split())


def _rows_of_documents() -> Iterator[tuple[str, str]]:
    for name, model in DOCUMENTS.items():
        yield _code(name), _link(model)


def _rows_of_lines() -> Iterator[tuple[str, str]]:
    for lines in (_OF_JOBS, _OF_HOSTS):
        for kind, model in lines.items():
            if lines is _OF_JOBS or kind not in _OF_JOBS:
                yield _code(kind), _link(model)
    yield "`result` of `cancel`, one for each ID", _link(JobsResult)


def _models() -> list[type[BaseModel]]:
    """All that are printed, each once, with what they consist of behind them."""
    found: dict[type[BaseModel], None] = {}

    def visit(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and annotation not in found:
            found[annotation] = None
            for field in annotation.model_fields.values():
                visit(field.annotation)
        for part in get_args(annotation):
            visit(part)

    for model in (*DOCUMENTS.values(), *(model for lines in LINES.values() for model in lines.values())):
        visit(model)
    return list(found)


def _fields(model: type[BaseModel]) -> str:
    said = (model.__doc__ or "").strip().partition("\n")[0]
    inherited = [JobEntry] if issubclass(model, JobEntry) and model is not JobEntry else []
    said += "".join(f" The fields of {_link(base)}, and these:" for base in inherited)
    rows = (
        (_code(name), _type(field.annotation), "yes" if _is_always_there(field) else "", field.description or "")
        for name, field in model.model_fields.items()
        if not any(name in base.model_fields for base in inherited)
    )
    return f"### {model.__name__}\n\n{said}\n\n" + _table(("field", "type", "always", "meaning"), rows)


def _is_always_there(field: FieldInfo) -> bool:
    return field.is_required() or (field.default is not None and field.default_factory is None)


def _type(annotation: Any) -> str:
    """A type in words."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " or ".join(_type(part) for part in parts if part is not NoneType)
    if origin is list:
        return f"list of {_type(parts[0])}"
    if origin is dict:
        return f"object of {_type(parts[1])}" if parts[1] is int else "object"
    if hasattr(annotation, "__metadata__"):
        return _type(parts[0])
    if issubclass(annotation, BaseModel):
        return _link(annotation)
    if issubclass(annotation, StrEnum):
        return " or ".join(map(_code, annotation))
    words = {str: "string", int: "integer", float: "number", bool: "boolean", datetime: "time in UTC"}
    return words[annotation]


def _link(model: type[BaseModel]) -> str:
    return f"[{model.__name__}](#{model.__name__.lower()})"


def _code(text: str) -> str:
    return f"`{text}`"


def _table(head: Sequence[str], rows: Any) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"
