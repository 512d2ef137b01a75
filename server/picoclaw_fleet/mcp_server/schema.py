"""Published schemas that every client can read: no $ref, no anyOf, no lists of types (Gemini refuses them)."""

from __future__ import annotations

from typing import Any, cast

Schema = dict[str, Any]


def portable(schema: Schema) -> Schema:
    """Rewrites a schema made by pydantic.

    References are replaced by what they refer to, an optional value by the value (it is left out where there is none),
    and generated titles go.
    """
    return _rewrite(schema, schema.get("$defs", {}))


def _rewrite(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/$defs/")
        return _rewrite(
            {**definitions[name], **{key: value for key, value in schema.items() if key != "$ref"}}, definitions
        )
    if "anyOf" in schema:
        (value,) = (choice for choice in schema["anyOf"] if choice.get("type") != "null")
        around = {key: value for key, value in schema.items() if key not in ("anyOf", "default")}
        return _rewrite({**value, **around}, definitions)
    rewritten: Schema = {}
    for key, value in schema.items():
        match key, value:
            case ("$defs" | "title", _):
                continue
            case "properties", dict():
                rewritten[key] = {
                    name: _rewrite(one, definitions) for name, one in cast("dict[str, Schema]", value).items()
                }
            case (("items" | "additionalProperties"), dict()):
                rewritten[key] = _rewrite(cast("Schema", value), definitions)
            case _:
                rewritten[key] = value
    return rewritten
