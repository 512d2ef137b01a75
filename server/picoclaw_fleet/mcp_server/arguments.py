"""The types of the tools' arguments."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Annotated, Any, cast

from pydantic import BeforeValidator, Field

from picoclaw_fleet.assignment import Assignment


def as_list(value: object) -> object:
    """Lets one selector or one task stand for a list of one, as models often write it."""
    return [cast("object", value)] if isinstance(value, str | Mapping) else value


def as_assignments(value: object) -> object:
    """Accepts plain strings, in the list or alone, where tasks are published as objects."""
    items = as_list(value)
    if not isinstance(items, list):
        return items
    return [_as_assignment(item) for item in cast("list[object]", items)]


def _as_assignment(item: object) -> object:
    if isinstance(item, str):
        return {"task": item}
    return given(cast("Mapping[str, Any]", item), Assignment.model_fields) if isinstance(item, Mapping) else item


def given(arguments: Mapping[str, Any], known: Container[str]) -> dict[str, Any]:
    """Leaves out the arguments that are null: some clients make models write down every argument that there is."""
    return {name: value for name, value in arguments.items() if value is not None or name not in known}


Hosts = Annotated[list[str], BeforeValidator(as_list), Field(description="Selectors; empty for all hosts.")]
NamedHosts = Annotated[list[str], BeforeValidator(as_list), Field(min_length=1, description="Selectors.")]
DeployMissing = Annotated[bool, Field(description="Put PicoClaw on hosts first where too few have it.")]
Timeout = Annotated[int, Field(ge=1, le=86_400, description="Seconds until PicoClaw is stopped on the host.")]
Wait = Annotated[int, Field(ge=0, le=50, description="Seconds until this call returns at the latest.")]
Tasks = Annotated[
    list[Assignment],
    BeforeValidator(as_assignments),
    Field(description="The tasks; plain strings will do. Empty with rerun."),
]
