"""Reading tasks from arguments, files and stdin."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from picoclaw_fleet.errors import UsageError

if TYPE_CHECKING:
    from picoclaw_fleet.assignment import Assignment


def read_tasks(texts: Sequence[str], files: Sequence[str]) -> list[Assignment]:
    """All tasks, in the order in which they are given: arguments, then files.

    Args:
        texts: Tasks as they are; "-" stands for those on stdin, a task on each line.
        files: Files with a task on each line; "-" is stdin. A line that begins with { is an object with `task`, and
            optionally `host` and `timeout_seconds`. Blank lines are passed over.

    Raises:
        UsageError: A file can't be read, or a line of it not be understood.
    """
    from picoclaw_fleet.assignment import Assignment

    tasks: list[Assignment] = []
    for text in texts:
        tasks += _assignments("-") if text == "-" else [Assignment(task=text)]
    for file in files:
        tasks += _assignments(file)
    return tasks


def _assignments(file: str) -> Iterator[Assignment]:
    from picoclaw_fleet.assignment import Assignment

    name = _named(file)
    # Only these end a line: a task may hold what else Unicode takes for a line's end.
    for number, line in enumerate(read_text(file).replace("\r\n", "\n").split("\n"), start=1):
        if line.lstrip().startswith("{"):
            yield _parsed(line, f"{name}:{number}")
        elif line.strip():
            yield Assignment(task=line)


def read_text(file: str) -> str:
    """All of a file; "-" is stdin.

    Raises:
        UsageError: It can't be read, or is not UTF-8.
    """
    name = _named(file)
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{name}:{line}: this is not UTF-8 text.", next_step="Save it as UTF-8.") from error
    except OSError as error:
        raise UsageError(f"{name} can't be read: {error.strerror}.") from error


def _named(file: str) -> str:
    return "stdin" if file == "-" else file


def _parsed(line: str, place: str) -> Assignment:
    from pydantic import ValidationError

    from picoclaw_fleet.assignment import Assignment

    known = ", ".join(Assignment.model_fields)
    try:
        return Assignment.model_validate(json.loads(line))
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{place}: a line that begins with {{ has to be a JSON object, but column {error.colno}: {error.msg}.",
            next_step=f"Its keys are {known}.",
        ) from error
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise UsageError(f"{place}: {where}: {problem['msg']}.", next_step=f"The keys are {known}.") from error
