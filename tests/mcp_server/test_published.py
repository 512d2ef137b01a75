"""What the server says of itself before anything is done with it.

The tools as clients see them are kept in snapshots/tools.json. After a change that is meant:

    RENEW_SNAPSHOTS=1 .venv/bin/python -m pytest tests/mcp_server/test_published.py
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from mcp import Client
from mcp.types import Tool
from tests.mcp_server.caller import Era, stdio

from picoclaw_fleet.mcp_server.server import INSTRUCTIONS, create_server

SNAPSHOT = Path(__file__).parent / "snapshots" / "tools.json"
LONGEST_TEXT = 2048
"""Clients cut descriptions and instructions there."""

REFUSED_KEYS = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "exclusiveMinimum", "exclusiveMaximum", "nullable"}
NAMES = ("fleet_status", "deploy", "dispatch", "dispatch_many", "job_result", "jobs", "job_cancel", "teardown")


@pytest.fixture
async def tools() -> list[Tool]:
    async with Client(create_server("/nowhere/fleet.json")) as client:
        return (await client.list_tools()).tools


async def test_the_tools_are_those_of_the_snapshot(tools: list[Tool]) -> None:
    published = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools]
    text = json.dumps(published, indent=2, ensure_ascii=False) + "\n"
    if "RENEW_SNAPSHOTS" in os.environ:
        SNAPSHOT.write_text(text)
    assert text == SNAPSHOT.read_text(), "renew the snapshot if this is meant; the module says how"


async def test_every_tool_has_a_title_a_description_and_both_schemas(tools: list[Tool]) -> None:
    assert {tool.name for tool in tools} >= set(NAMES)
    for tool in tools:
        assert tool.title
        assert tool.input_schema["additionalProperties"] is False
        assert tool.output_schema is not None
        assert "summary" in tool.output_schema["required"]
        assert all("description" in one for one in tool.input_schema["properties"].values()), tool.name


async def test_texts_are_short_enough_to_be_shown_whole(tools: list[Tool]) -> None:
    texts = {"instructions": INSTRUCTIONS} | {tool.name: tool.description or "" for tool in tools}
    assert {name: len(text.encode()) for name, text in texts.items() if not 0 < len(text.encode()) < LONGEST_TEXT} == {}


async def test_the_schemas_use_nothing_that_some_clients_refuse(tools: list[Tool]) -> None:
    schemas = [(tool.name, schema) for tool in tools for schema in (tool.input_schema, tool.output_schema)]
    refused = [f"{name}: {found}" for name, schema in schemas for found in _refused_in(schema)]
    assert refused == []


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"anyOf": [{"type": "string"}]}}},
        {"items": {"type": ["string", "null"]}},
        {"additionalProperties": {"$ref": "#/x"}},
        {"properties": {"a": {"exclusiveMinimum": 0}}},
    ],
)
def test_what_clients_refuse_would_be_found(schema: dict[str, Any]) -> None:
    assert list(_refused_in(schema))


async def test_all_four_hints_are_set_and_true(tools: list[Tool]) -> None:
    hints = {tool.name: tool.annotations for tool in tools}
    looking = {name for name, hint in hints.items() if hint and hint.read_only_hint}
    working = {name for name, hint in hints.items() if hint and hint.destructive_hint}
    assert looking >= {"fleet_status", "job_result", "jobs"}
    assert working >= {"dispatch", "dispatch_many", "job_cancel", "teardown"}
    for hint in hints.values():
        assert hint is not None
        assert None not in (hint.read_only_hint, hint.destructive_hint, hint.idempotent_hint, hint.open_world_hint)
        assert not (hint.read_only_hint and hint.destructive_hint)


async def test_a_server_without_config_and_home_introduces_itself_and_lists_its_tools(era: Era, tmp_path: Path) -> None:
    nowhere, log = tmp_path / "nowhere", tmp_path / "stderr"
    async with stdio({"HOME": str(nowhere), "PATH": os.environ["PATH"]}, era, log) as client:
        listed = [tool.name for tool in (await client.list_tools()).tools]
        assert client.instructions == INSTRUCTIONS
        assert client.server_info is not None
        assert client.server_info.name == "picoclaw-fleet"
    assert set(listed) >= set(NAMES)
    assert not nowhere.exists()
    assert log.read_text() == ""


async def test_the_tools_are_listed_in_the_same_order_in_both_eras(tools: list[Tool]) -> None:
    async with Client(create_server(), mode="legacy") as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == [tool.name for tool in tools]


def _refused_in(schema: object) -> Iterator[str]:
    """Everything in a schema that is a keyword to be refused; names of properties are none."""
    match schema:
        case dict():
            for key, value in cast("dict[str, object]", schema).items():
                if key in REFUSED_KEYS or (key == "type" and isinstance(value, list)):
                    yield key
                elif key == "properties":
                    for one in cast("dict[str, object]", value).values():
                        yield from _refused_in(one)
                elif key not in ("default", "enum", "description"):
                    yield from _refused_in(value)
        case list():
            for one in cast("list[object]", schema):
                yield from _refused_in(one)
        case _:
            return
