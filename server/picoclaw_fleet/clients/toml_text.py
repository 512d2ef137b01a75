"""Editing a TOML text of others: what is set is changed, every other line stays.

What comes out is checked by reading it. Only what Codex and people write is understood, tables under their full names;
anything else is left alone.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, cast

_HEADER = re.compile(r"^\s*\[")


def merge(text: str, path: Sequence[str], entry: Mapping[str, Any]) -> str:
    """Sets keys of the table at a path, which is made where it is missing.

    Args:
        text: The document; empty for a new one.
        path: The table's name.
        entry: What is to be set. Where it holds a table and the text does too, that one is merged in the same way.

    Returns:
        The new text; the same one when all of that is there already.

    Raises:
        ValueError: The text can't be read, or not be edited in this way.
    """
    document = tomllib.loads(text)
    wanted = _merged(document, path, entry)
    if wanted == document:
        return text
    changed = _edited(text, path, entry, document)
    try:
        correct = tomllib.loads(changed) == wanted
    except tomllib.TOMLDecodeError:
        correct = False
    if not correct:
        raise ValueError(f"{'.'.join(path)} is written in a way that can't be edited without risk")
    return changed


def value_at(text: str, path: Sequence[str]) -> object:
    """What stands at a path; None when nothing does.

    Raises:
        ValueError: The text can't be read.
    """
    return _at(tomllib.loads(text), path)


def render(path: Sequence[str], entry: Mapping[str, Any]) -> str:
    """A table as a text of its own."""
    lines = [f"[{'.'.join(map(_key, path))}]", *(f"{_key(key)} = {_value(value)}" for key, value in entry.items())]
    return "\n".join(lines) + "\n"


def _edited(text: str, path: Sequence[str], entry: Mapping[str, Any], document: dict[str, Any]) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    block = _block(text.splitlines(keepends=True), path)
    if block is None:
        gap = newline if text.strip() else ""
        start = text if not text or text.endswith("\n") else text + newline
        return start + gap + render(path, entry).replace("\n", newline)
    for key, value in entry.items():
        there = _at(document, (*path, key))
        if isinstance(value, Mapping) and isinstance(there, Mapping):
            table = cast("Mapping[str, Any]", value)
            if _block(text.splitlines(keepends=True), (*path, key)) is not None:
                text = _edited(text, (*path, key), table, document)
                continue
            value = {**cast("Mapping[str, Any]", there), **table}
        if there != value:
            text = _with_line(text, path, key, f"{_key(key)} = {_value(cast('object', value))}{newline}")
    return text


def _with_line(text: str, path: Sequence[str], key: str, line: str) -> str:
    """Puts a line into a table: in place of the key's old value, else below the last line that says something."""
    lines = text.splitlines(keepends=True)
    block = _block(lines, path)
    assert block is not None
    start, end = block
    for at in range(start + 1, end):
        if re.match(rf"\s*(?:{re.escape(key)}|\"{re.escape(key)}\"|'{re.escape(key)}')\s*=", lines[at]):
            return "".join([*lines[:at], line, *lines[_end_of_value(lines, at, end) :]])
    last = max(at for at in range(start, end) if lines[at].strip())
    if not lines[last].endswith("\n"):
        lines[last] += "\n"
    return "".join([*lines[: last + 1], line, *lines[last + 1 :]])


def _end_of_value(lines: Sequence[str], start: int, end: int) -> int:
    """The line after a value that may go over several: where what is before can first be read."""
    for after in range(start + 1, end):
        try:
            tomllib.loads("".join(lines[start:after]))
        except tomllib.TOMLDecodeError:
            continue
        return after
    return end


def _block(lines: Sequence[str], path: Sequence[str]) -> tuple[int, int] | None:
    """The lines of a table, from its header to before the next one."""
    names = r"\s*\.\s*".join(rf"(?:{re.escape(name)}|\"{re.escape(name)}\"|'{re.escape(name)}')" for name in path)
    header = re.compile(rf"\s*\[\s*{names}\s*\]\s*(?:#.*)?$")
    start = next((at for at, line in enumerate(lines) if header.match(line)), None)
    if start is None:
        return None
    after = (at for at in range(start + 1, len(lines)) if _HEADER.match(lines[at]) and not _is_value(lines, start, at))
    return start, next(after, len(lines))


def _is_value(lines: Sequence[str], start: int, at: int) -> bool:
    """Whether a line that begins with a bracket goes on with a list that began above."""
    try:
        tomllib.loads("".join(lines[start:at]))
    except tomllib.TOMLDecodeError:
        return True
    return False


def _merged(document: Mapping[str, Any], path: Sequence[str], entry: Mapping[str, Any]) -> dict[str, Any]:
    if path:
        inner = document.get(path[0], {})
        if not isinstance(inner, Mapping):
            raise ValueError(f"{path[0]} is not a table")
        return {**document, path[0]: _merged(cast("Mapping[str, Any]", inner), path[1:], entry)}
    merged = dict(document)
    for key, value in entry.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = {**cast("Mapping[str, Any]", old), **cast("Mapping[str, Any]", value)} if both else value
    return merged


def _at(document: object, path: Sequence[str]) -> object:
    value = document
    for key in path:
        value = cast("Mapping[str, object]", value).get(key) if isinstance(value, Mapping) else None
    return value


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        table = cast("Mapping[str, object]", value)
        return "{ " + ", ".join(f"{_key(key)} = {_value(one)}" for key, one in table.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_value(one) for one in cast("list[object]", value)) + "]"
    # JSON's texts, numbers and words are TOML's too.
    return json.dumps(value, ensure_ascii=False)
