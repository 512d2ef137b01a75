"""Asking before something is taken away: by elicitation where the client can, else by an argument."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mcp.server.mcpserver import Context, Elicit, ElicitationResult, Resolve
from pydantic import BaseModel, Field

from picoclaw_fleet.errors import UsageError
from picoclaw_fleet.mcp_server.session import Session

MOST_LISTED = 50

NOT_UNDERSTOOD = (
    "the user was asked, and the answer could not be read. If he wants that, call it again with confirm=true."
)
"""Some clients say that he has agreed without what they were to fill in."""


class Confirmation(BaseModel):
    """The user's answer."""

    confirm: bool = Field(description="Whether it is to be done.")


async def ask(
    ctx: Context[Session], hosts: list[str], confirm: bool, purge: bool
) -> Confirmation | Elicit[Confirmation]:
    """Asks the user, unless the caller says that he has agreed.

    Raises:
        UsageError: The selectors pick no hosts; or the client can't ask, and nobody has said so.
    """
    if confirm:
        return Confirmation(confirm=True)
    # A selector says little to him: he is to see which hosts it picks.
    fleet = await ctx.request_context.lifespan_context.fleet()
    names = _listed([host.name for host in fleet.inventory().select(hosts)])
    more = ", and all that PicoClaw left behind," if purge else ""
    can = ctx.client_capabilities.elicitation if ctx.client_capabilities else None
    if can is None or (can.form is None and can.url is not None):
        raise UsageError(
            f"teardown was not called: it takes PicoClaw{more} away from {names}, and the user has not been asked.",
            next_step="If he wants that, call it again with confirm=true.",
        )
    return Elicit(f"Remove PicoClaw, its settings and the API key{more} from {names}?", Confirmation)


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - MOST_LISTED
    return ", ".join(names[:MOST_LISTED]) + (f" and {rest} more" if rest > 0 else "")


Answer = Annotated[ElicitationResult[Confirmation], Resolve(ask)]
