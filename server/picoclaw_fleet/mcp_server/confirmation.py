"""Asking before something is taken away: by elicitation where the client can, else by an argument."""

from __future__ import annotations

from typing import Annotated

from mcp.server.mcpserver import Context, Elicit, ElicitationResult, Resolve
from pydantic import BaseModel, Field

from picoclaw_fleet.errors import UsageError
from picoclaw_fleet.mcp_server.session import Session


class Confirmation(BaseModel):
    """The user's answer."""

    confirm: bool = Field(description="Whether it is to be done.")


async def ask(ctx: Context[Session], hosts: list[str], confirm: bool) -> Confirmation | Elicit[Confirmation]:
    """Asks the user, unless the caller says that he has agreed.

    Raises:
        UsageError: The client can't ask, and nobody has said so.
    """
    if confirm:
        return Confirmation(confirm=True)
    can = ctx.client_capabilities.elicitation if ctx.client_capabilities else None
    if can is None or (can.form is None and can.url is not None):
        raise UsageError(
            "teardown was not called: it takes PicoClaw away from hosts, and the user has not been asked.",
            next_step="If he wants that, call it again with confirm=true.",
        )
    return Elicit(f"Remove PicoClaw, its settings and the API key from: {', '.join(hosts)}?", Confirmation)


Answer = Annotated[ElicitationResult[Confirmation], Resolve(ask)]
