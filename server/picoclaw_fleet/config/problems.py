"""What is wrong with a fleet config: each problem with its line, its key and the way out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from picoclaw_fleet.config.json_source import JsonSource, KeyPath
from picoclaw_fleet.config.model import Defaults, FleetConfig, HostConfig, HttpConfig, TokenConfig
from picoclaw_fleet.config.values import FORMS
from picoclaw_fleet.errors import ConfigError
from picoclaw_fleet.text.nearest import nearest
from picoclaw_fleet.text.secret_shapes import looks_like_secret, names_a_secret

MOST_SHOWN = 20

_MODELS: dict[str, type[BaseModel]] = {
    "the outermost object": FleetConfig,
    "'defaults'": Defaults,
    "an entry of 'hosts'": HostConfig,
    "'http'": HttpConfig,
    "an entry of 'http.tokens'": TokenConfig,
}
_EXPECTED = {
    "string_type": "text in double quotes",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "an object in { }",
    "model_type": "an object in { }",
    "tuple_type": "a list in [ ]",
}
_KINDS = {
    str: "text",
    int: "a number",
    float: "a fraction",
    bool: "true or false",
    list: "a list",
    dict: "an object",
    type(None): "null",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend in the file; `key` is empty when the whole document is meant."""

    line: int
    key: str
    text: str


def problems_in(source: JsonSource, invalid: ValidationError | None) -> list[Problem]:
    """Gathers what is wrong with a document, in the order of its lines.

    Args:
        source: The document.
        invalid: What the models have against it, or None.
    """
    found = [*_repeated_keys(source), *_repeated_names(source)]
    if invalid is not None:
        found += [_explained(error, source) for error in invalid.errors(include_url=False)]
    return sorted(found, key=lambda problem: problem.line)


def config_error(file: Path, problems: list[Problem]) -> ConfigError:
    """Makes one error of all problems; the first one leads, each other one follows on a line of its own."""
    first, *others = problems
    lines = [first.text]
    lines += [f"{file}:{other.line}: {other.key}: {other.text}" for other in others[: MOST_SHOWN - 1]]
    if len(problems) > MOST_SHOWN:
        lines.append(f"And {len(problems) - MOST_SHOWN} more.")
    return ConfigError("\n".join(lines), file=file, line=first.line, key=first.key)


def _repeated_keys(source: JsonSource) -> Iterator[Problem]:
    for path, line in source.repeated:
        yield Problem(line, _shown(path), "this key stands twice in the same object; remove one of the two.")


def _repeated_names(source: JsonSource) -> Iterator[Problem]:
    # Read from the document and not from the models, so that it is reported beside other problems too.
    document = _members(source.value)
    yield from _named_alike(source, "host", document.get("hosts"), ("hosts",))
    yield from _named_alike(source, "token", _members(document.get("http")).get("tokens"), ("http", "tokens"))


def _named_alike(source: JsonSource, kind: str, entries: object, where: KeyPath) -> Iterator[Problem]:
    first_lines: dict[str, int] = {}
    for index, entry in enumerate(cast("list[object]", entries) if isinstance(entries, list) else []):
        name = _members(entry).get("name")
        if not isinstance(name, str):
            continue
        path = (*where, index, "name")
        if name in first_lines:
            text = f"the {kind} on line {first_lines[name]} is called the same; give each {kind} a name of its own."
            yield Problem(source.line(path), _shown(path), text)
        else:
            first_lines[name] = source.line(path)


def _explained(error: ErrorDetails, source: JsonSource) -> Problem:
    path: KeyPath = error["loc"]
    if path[-1:] == ("[key]",) and path not in source.lines:
        # pydantic's mark that the name of an `env` entry is meant and not its value.
        path = path[:-1]
    return Problem(source.line(path), _shown(path), _explanation(error, path))


def _explanation(error: ErrorDetails, path: KeyPath) -> str:
    kind = error["type"]
    if kind == "extra_forbidden":
        return _unknown_key(path)
    if kind == "missing":
        return f"the key {path[-1]!r} is missing."
    if kind == "string_pattern_mismatch" and "ctx" in error:
        return f"{FORMS[error['ctx']['pattern']]}."
    if kind in _EXPECTED:
        return f"has to be {_EXPECTED[kind]}, not {_KINDS[type(error['input'])]}."
    return error["msg"].replace("Input should", "has to").replace("String should", "has to") + "."


def _unknown_key(path: KeyPath) -> str:
    key, model = str(path[-1]), _model_around(path)
    if model is TokenConfig and names_a_secret(key):
        return "the token itself does not belong in this file, but its hash does: see picoclaw-fleet token NAME."
    if model is not HttpConfig and names_a_secret(key):
        return (
            "a secret does not belong in this file; put it into an environment variable of the controller and name "
            "that variable under 'api_key_env' (for a passphrase: under 'key_passphrase_env')."
        )
    unknown = f"unknown key {_hidden_if_secret(key)!r}"
    if places := [place for place, other in _MODELS.items() if key in other.model_fields]:
        return f"{unknown}; it belongs in {' or '.join(places)}."
    near = nearest(key, model.model_fields, limit=1)
    return f"{unknown}; did you mean {near[0]!r}?" if near else f"{unknown}; remove it."


def _model_around(path: KeyPath) -> type[BaseModel]:
    match path:
        case (_,):
            return FleetConfig
        case ("defaults", *_):
            return Defaults
        case ("http", "tokens", _, *_):
            return TokenConfig
        case ("http", *_):
            return HttpConfig
        case _:
            return HostConfig


def _members(value: object) -> dict[str, object]:
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _shown(path: KeyPath) -> str:
    """Writes a path as one reads it: `hosts[2].env.LANG`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{_hidden_if_secret(part)}" for part in path]
    return "".join(parts).removeprefix(".")


def _hidden_if_secret(key: str) -> str:
    """Keys are shown in errors; one that is itself a secret, or does not print, is not."""
    return "(hidden)" if looks_like_secret(key) else ascii(key)[1:-1][:80]
