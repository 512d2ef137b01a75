"""Who asks something of the fleet, and what he may do."""

from __future__ import annotations

from dataclasses import dataclass

from picoclaw_fleet.bearer_token import SCOPES, Scope


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    Attributes:
        name: The name of his token; empty for the user himself, on stdio, on the command line and in Python.
        scope: The most that he may do; each scope includes those before it in SCOPES.
    """

    name: str = ""
    scope: Scope = "admin"

    def may(self, scope: Scope) -> bool:
        """Whether he may do what asks for that scope."""
        return SCOPES.index(scope) <= SCOPES.index(self.scope)

    @property
    def owns_only(self) -> str:
        """The owner whose jobs are all that he may see; empty when he may see everyone's."""
        return "" if self.may("admin") else self.name
