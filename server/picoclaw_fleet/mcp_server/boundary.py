"""The error boundary: what fails on purpose reaches the model as one plain text; unknown arguments are refused."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools.base import Tool
from mcp.types import ToolAnnotations
from pydantic import ConfigDict, ValidationError

from picoclaw_fleet.errors import FleetError
from picoclaw_fleet.mcp_server.schema import portable
from picoclaw_fleet.nearest import nearest


class FleetTool(Tool):
    """A tool whose errors say what failed and what to do, and nothing else.

    The SDK (2.3) prefixes the text of a ToolError, shows pydantic's own words for bad arguments, and ignores unknown
    ones; a model is helped by none of that.
    """

    @classmethod
    def declare(
        cls, function: Callable[..., Awaitable[Any]], *, title: str, description: str, annotations: ToolAnnotations
    ) -> FleetTool:
        """Makes a tool of a function, with strict arguments and portable schemas."""
        tool = cls.from_function(function, title=title, description=description, annotations=annotations)
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
        assert isinstance(tool, FleetTool)
        return tool

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:
        """Runs the tool; see the SDK's `Tool.run`.

        Raises:
            ToolError: With the text that the model is to read.
        """
        try:
            return await super().run(arguments, context, convert_result)
        except ToolError as error:
            match error.__cause__:
                case FleetError() as cause:
                    raise ToolError(str(cause)) from cause
                case ValidationError() as cause:
                    raise ToolError(self._what_is_wrong(cause)) from cause
                case _:
                    raise

    def _what_is_wrong(self, error: ValidationError) -> str:
        """Says which arguments are wrong, without repeating their values."""
        known = list(self.parameters.get("properties", {}))
        problems: list[str] = []
        for problem in error.errors(include_url=False, include_input=False):
            where = ".".join(str(part) for part in problem["loc"])
            if problem["type"] == "extra_forbidden":
                near = nearest(where, known)
                problems.append(f"unknown argument {where!r}" + (f", did you mean {near[0]!r}?" if near else ""))
            else:
                problems.append(f"{where}: {problem['msg']}")
        return f"{self.name} was not called: {'; '.join(problems)}. Its arguments are {', '.join(known)}."
