"""The boundary of each call: who may make it, what is told of it, and what a failure looks like to the model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Self, cast

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.tools.base import Tool
from mcp.types import CallToolResult, InputRequiredResult, ToolAnnotations
from pydantic import ConfigDict, Field, ValidationError

from picoclaw_fleet.bearer_token import Scope
from picoclaw_fleet.errors import FleetError
from picoclaw_fleet.mcp_server.arguments import given
from picoclaw_fleet.mcp_server.audit import AuditLog
from picoclaw_fleet.mcp_server.call import Call, caller_of
from picoclaw_fleet.mcp_server.confirmation import NOT_UNDERSTOOD
from picoclaw_fleet.mcp_server.schema import portable
from picoclaw_fleet.text.nearest import nearest

_MOST_PROBLEMS = 10
_LONGEST_NAME = 80


class FleetTool(Tool):
    """A tool whose errors say what failed and what to do, and nothing else.

    The SDK (2.3) prefixes the text of a ToolError, shows pydantic's own words for bad arguments, and ignores unknown
    ones; a model is helped by none of that.

    Attributes:
        scope: What a caller has to be allowed in order to call it.
        for_admins: Arguments that only an admin may set, each with the value that it has for everyone else.
    """

    scope: Scope = "admin"
    for_admins: dict[str, object] = Field(default_factory=dict[str, object])

    @classmethod
    def declare(
        cls,
        function: Callable[..., Awaitable[Any]],
        *,
        title: str,
        description: str,
        annotations: ToolAnnotations,
        scope: Scope,
        for_admins: dict[str, object] | None = None,
    ) -> Self:
        """Makes a tool of a function, with strict arguments and portable schemas."""
        tool = cls.from_function(function, title=title, description=description, annotations=annotations)
        assert isinstance(tool, cls)
        tool.scope, tool.for_admins = scope, for_admins or {}
        metadata = tool.fn_metadata
        arguments = metadata.arg_model
        metadata.arg_model = type(
            arguments.__name__,
            (arguments,),
            {"model_config": ConfigDict(extra="forbid"), "__module__": arguments.__module__},
        )
        tool.parameters = portable(metadata.arg_model.model_json_schema(by_alias=True))
        if metadata.output_schema is not None:
            metadata.output_schema = portable(metadata.output_schema)
        return tool

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:
        """Runs the tool; see the SDK's `Tool.run`.

        Raises:
            ToolError: With the text that the model is to read.
        """
        audit = cast("AuditLog | None", context.request_context.lifespan_context.audit)
        call = Call(caller_of(context), self.name, arguments)
        if audit is None:
            return await self._carry_out(call, context, convert_result)
        try:
            await audit.ready()
        except FleetError as error:
            raise ToolError(str(error)) from error
        try:
            return await self._carry_out(call, context, convert_result)
        finally:
            await audit.note(call)

    async def _carry_out(self, call: Call, context: Context[Any, Any], convert_result: bool) -> Any:
        try:
            arguments = self._allowed(call)
            with call.under_way():
                result = await self._run(arguments, context, convert_result)
        except UnexpectedToolError:
            call.outcome = "broken"
            raise
        except ToolError:
            if call.outcome != "denied":
                call.outcome = "refused"
            raise
        call.outcome = "asked" if isinstance(result, InputRequiredResult) else "done"
        if isinstance(result, CallToolResult):
            call.result = result.structured_content
        return result

    def _allowed(self, call: Call) -> dict[str, Any]:
        """The arguments as this caller may give them."""
        arguments = given(call.arguments, self.parameters["properties"])
        if not call.caller.may(self.scope):
            call.outcome = "denied"
            raise ToolError(self._denial(call, self.name, self.scope))
        if not call.caller.may("admin"):
            for name, value in self.for_admins.items():
                if arguments.setdefault(name, value) != value:
                    call.outcome = "denied"
                    raise ToolError(self._denial(call, f"{name}={arguments[name]!r}"[:80], "admin"))
        return arguments

    def _denial(self, call: Call, what: str, scope: Scope) -> str:
        return (
            f"{self.name} was not called: {what} needs the scope {scope!r}, and the token {call.caller.name!r} has "
            f"{call.caller.scope!r}. Do without it, or ask the operator of this server."
        )

    async def _run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool) -> Any:
        try:
            return await super().run(arguments, context, convert_result)
        except ToolError as error:
            match error.__cause__:
                case FleetError() as cause:
                    raise ToolError(str(cause)) from cause
                case ValidationError() as cause:
                    raise ToolError(self._what_is_wrong(cause)) from cause
                case ToolError() as cause:  # The SDK's own, in words about its resolvers.
                    raise ToolError(f"{self.name} was not called: {NOT_UNDERSTOOD}") from cause
                case _:
                    raise

    def _what_is_wrong(self, error: ValidationError) -> str:
        """Says which arguments are wrong, without repeating their values."""
        known = list(self.parameters.get("properties", {}))
        found = error.errors(include_url=False, include_input=False)
        problems: list[str] = []
        for problem in found[:_MOST_PROBLEMS]:
            where = ".".join(str(part)[:_LONGEST_NAME] for part in problem["loc"])
            if problem["type"] == "extra_forbidden":
                near = nearest(str(problem["loc"][-1]), _keys_beside(problem["loc"], self.parameters))
                problems.append(f"unknown argument {where!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
            else:
                problems.append(f"{where}: {problem['msg']}")
        if len(found) > _MOST_PROBLEMS:
            problems.append(f"and {len(found) - _MOST_PROBLEMS:,} more")
        return f"{self.name} was not called: {'; '.join(problems)}. Its arguments are {', '.join(known)}."


def _keys_beside(place: Sequence[int | str], schema: Mapping[str, Any]) -> list[str]:
    """The keys that are known where one stands that is not."""
    for part in place[:-1]:
        schema = schema["items"] if isinstance(part, int) else schema["properties"][part]
    return list(schema["properties"])
