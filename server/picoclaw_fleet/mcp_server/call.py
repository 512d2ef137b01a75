"""One call of a tool, or reading of a resource: who makes it, what it is about, and how it came out."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.mcpserver import Context
from starlette.requests import Request

from picoclaw_fleet.bearer_token import Scope
from picoclaw_fleet.caller import Caller

Outcome = Literal["done", "asked", "refused", "denied", "cancelled", "broken"]
"""asked: the user is asked back first. refused: a wrong call. denied: the caller may not. cancelled: the client left.
broken: a fault of ours."""


def caller_of(context: Context[Any, Any]) -> Caller:
    """Who calls: over HTTP whoever the token says, else the user himself."""
    request = context.request_context.request
    user = request.scope.get("user") if isinstance(request, Request) else None
    if isinstance(user, AuthenticatedUser):
        return Caller(user.username, cast("Scope", user.scopes[0]))
    return Caller()


READS_RESOURCE = "resources/read"
"""Stands in the place of a tool's name where a resource is read, with its `uri` as the only argument."""


@dataclass(slots=True)
class Call:
    """What is told of a call.

    Attributes:
        caller: Who calls.
        tool: The tool's name, or READS_RESOURCE.
        arguments: As the caller wrote them.
        outcome: How it came out.
        begun: The ids of the jobs that it asked for.
        result: Its structured result; None before, and where there is none.
    """

    caller: Caller
    tool: str
    arguments: Mapping[str, Any]
    outcome: Outcome = "cancelled"
    begun: list[str] = field(default_factory=list[str])
    result: Mapping[str, Any] | None = None

    def note_jobs(self, job_ids: Iterable[str]) -> None:
        """Notes jobs that it asks for, so that they are known even if the client leaves."""
        self.begun += job_ids

    @contextmanager
    def under_way(self) -> Generator[None]:
        """Makes it the one that `current` tells, for what the block calls."""
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)

    @property
    def hosts(self) -> list[str]:
        """The hosts that it had to do with; where it came to none, the selectors that it named."""
        result = self.result or {}
        entries = [*_objects(result.get("hosts")), *_objects(result.get("jobs")), result]
        found = [entry.get("name") or entry.get("host") for entry in entries]
        return _each_once(found) or _each_once(
            [*_texts(self.arguments.get("host")), *_texts(self.arguments.get("hosts"))]
        )

    @property
    def job_ids(self) -> list[str]:
        """The jobs that it had to do with."""
        result = self.result or {}
        found = [entry.get("job_id") for entry in (*_objects(result.get("jobs")), result)]
        return _each_once([*_texts(self.arguments.get("job_id")), *self.begun, *found])

    @property
    def batch_id(self) -> str:
        """The batch that it had to do with; else empty."""
        (*_, last) = ("", *_texts(self.arguments.get("batch_id")), *_texts((self.result or {}).get("batch_id")))
        return last

    @property
    def resource(self) -> str:
        """The resource that it reads; empty for a tool."""
        return str(self.arguments["uri"]) if self.tool == READS_RESOURCE else ""

    @property
    def tasks(self) -> list[str]:
        """The text of the tasks that it brought."""
        tasks = self.arguments.get("tasks")
        brought = [entry.get("task") for entry in _objects(tasks)]
        return _each_once([*_texts(self.arguments.get("task")), *_texts(tasks), *brought])


_CURRENT: ContextVar[Call] = ContextVar("call")


def current() -> Call:
    """The call that is under way here."""
    return _CURRENT.get()


def _objects(value: object) -> list[Mapping[str, Any]]:
    items = cast("list[object]", value) if isinstance(value, list) else [value]
    return [cast("Mapping[str, Any]", item) for item in items if isinstance(item, Mapping)]


def _texts(value: object) -> list[str]:
    items = cast("list[object]", value) if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, str) and item]


def _each_once(values: Iterable[object]) -> list[str]:
    return list(dict.fromkeys(value for value in values if isinstance(value, str) and value))
