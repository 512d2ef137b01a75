"""Which tools a server offers."""

from __future__ import annotations

from collections.abc import Sequence

from picoclaw_fleet.errors import UsageError
from picoclaw_fleet.mcp_server.boundary import FleetTool
from picoclaw_fleet.mcp_server.tools import TOOLS
from picoclaw_fleet.text.nearest import nearest


def offered(*, read_only: bool = False, names: Sequence[str] = ()) -> list[FleetTool]:
    """Picks the tools to offer, in their usual order.

    Args:
        read_only: Only those that change nothing.
        names: Only those of these names; empty for all.

    Raises:
        UsageError: There is no such tool, or none is left.
    """
    known = [tool.name for tool in TOOLS]
    for name in names:
        if name not in known:
            near = nearest(name, known, limit=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"There is no tool {name!r}.{hint}", next_step=f"Tools are {', '.join(known)}.")
    tools = [tool for tool in TOOLS if not names or tool.name in names]
    if read_only:
        tools = [tool for tool in tools if tool.annotations and tool.annotations.read_only_hint]
    if not tools:
        raise UsageError("With --read-only none of the named tools is left.")
    return tools
