"""Editing JSON texts of others: what is set is changed, every other character stays, comments and order included."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from picoclaw_fleet.clients.jsonc import Node, parse, skip

_INDENTED = re.compile(r"^([ \t]+)\S", re.MULTILINE)
_DEFAULT_UNIT = "  "


def merge(text: str, path: Sequence[str], entry: Mapping[str, Any]) -> str:
    """Sets members of the object at a path, which is made where it is missing.

    Args:
        text: The document; empty for a new one.
        path: The keys that lead to the object.
        entry: What is to be set. Where it holds an object and the text does too, that one is merged in the same way.

    Returns:
        The new text; the same one when all of that is there already.

    Raises:
        SourceError: The text can't be read.
        TypeError: Something on the way is not an object.
    """
    if not text.strip("\ufeff \t\r\n"):
        text = "{}\n"
    at: tuple[str, ...] = ()
    for depth, key in enumerate(path):
        if _object_at(text, at).member(key) is None:
            value: object = entry
            for outer in reversed(path[depth + 1 :]):
                value = {outer: value}
            return _add_member(text, _object_at(text, at), key, value)
        at = (*at, key)
    for key, value in entry.items():
        here = _object_at(text, at)
        there = here.member(key)
        if there is None:
            text = _add_member(text, here, key, value)
        elif there.members is not None and isinstance(value, Mapping):
            text = merge(text, (*at, key), cast("Mapping[str, Any]", value))
        elif there.value != value:
            text = text[: there.start] + _rendered(value, text, _indent_at(text, there.start)) + text[there.end :]
    return text


def value_at(text: str, path: Sequence[str]) -> object:
    """What stands at a path; None when nothing does.

    Raises:
        SourceError: The text can't be read.
    """
    if not text.strip("\ufeff \t\r\n"):
        return None
    node = _node_at(text, path)
    return node.value if node is not None else None


def render(value: object) -> str:
    """A value as a text of its own."""
    return json.dumps(value, indent=len(_DEFAULT_UNIT), ensure_ascii=False)


def append(text: str, path: Sequence[str], item: object) -> str:
    """Puts an item at the end of the list at a path.

    Raises:
        SourceError: The text can't be read.
        TypeError: There is no list.
    """
    node = _node_at(text, path)
    if node is None or node.items is None:
        raise TypeError(f"{'.'.join(path)} is not a list in [ ]")
    return _insert(text, node, [(one.start, one.end) for one in node.items], "", item)


def _node_at(text: str, path: Sequence[str]) -> Node | None:
    node: Node | None = parse(text)
    for key in path:
        node = node.member(key) if node is not None else None
    return node


def _object_at(text: str, path: Sequence[str]) -> Node:
    node = _node_at(text, path)
    if node is None or node.members is None:
        raise TypeError(f"{'.'.join(path) or 'the file'} is not an object in {{ }}")
    return node


def _add_member(text: str, node: Node, key: str, value: object) -> str:
    there = [(member.start, member.value.end) for member in node.members or ()]
    return _insert(text, node, there, f"{json.dumps(key)}: ", value)


def _insert(text: str, node: Node, there: Sequence[tuple[int, int]], label: str, value: object) -> str:
    """Puts something at the end of an object or list, laid out as what is there.

    Args:
        text: The document.
        node: The object or list.
        there: Where each part of it begins and ends.
        label: What stands before the value.
        value: The new part.
    """
    newline = _newline(text)
    closing = node.end - 1
    if not there:
        outer = _indent_at(text, node.start)
        inner = outer + _unit(text)
        comments = text[node.start + 1 : closing].rstrip()
        part = label + _rendered(value, text, inner)
        return f"{text[: node.start + 1]}{comments}{newline}{inner}{part}{newline}{outer}{text[closing:]}"
    start, end = there[-1]
    comma = skip(text, end)
    has_comma = text.startswith(",", comma)
    before = text[: comma if has_comma else end]
    between = text[comma + 1 if has_comma else end : closing]
    comments, gap = between.rstrip(), between[len(between.rstrip()) :]
    ending = "," if has_comma else ""
    if not _begins_line(text, start):
        return f"{before},{comments} {label}{json.dumps(value, ensure_ascii=False)}{ending}{gap}{text[closing:]}"
    inner = _indent_at(text, start)
    outer = _indent_at(text, closing if _begins_line(text, closing) else node.start)
    part = label + _rendered(value, text, inner) + ending
    return f"{before},{comments}{newline}{inner}{part}{newline}{outer}{text[closing:]}"


def _rendered(value: object, text: str, indent: str) -> str:
    lines = json.dumps(value, indent=_unit(text), ensure_ascii=False).split("\n")
    return f"{_newline(text)}{indent}".join(lines)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _unit(text: str) -> str:
    """One step of indentation, as the text has it."""
    indented = _INDENTED.search(text)
    return indented[1] if indented else _DEFAULT_UNIT


def _indent_at(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _begins_line(text: str, at: int) -> bool:
    return not text[text.rfind("\n", 0, at) + 1 : at].strip(" \t")
