"""One MCP client: where it keeps its servers, in which words, and what it passes on to them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from picoclaw_fleet.clients.launch import AGENT_VARIABLE, SCRIPT, Launch


@dataclass(frozen=True, slots=True)
class Client:
    """One MCP client.

    Attributes:
        name: What it is called on the command line.
        title: What it is called by people.
        file: Where the user's servers stand.
        project_file: Where a project's servers stand, within the project; "" where it has no such file.
        servers: The keys that lead to the servers in it.
        style: How the file is written; JSON means with comments, trailing commas and JSON5's freedoms.
        fixed: What each entry says besides.
        passes_environment: Whether the server gets the client's own variables, secrets and the agent's included.
        reference: How an entry takes a variable's value from the client's environment, with NAME for the name; "" where
            only values can be written.
        forwards: The key with the names of variables that the client passes on by itself; "" without.
        add: The client's own command that does the same, without the server's command; "" without.
        then: What the user has to do after a change.
    """

    name: str
    title: str
    file: Path
    servers: tuple[str, ...]
    then: str
    project_file: str = ""
    style: str = "JSON"
    fixed: Mapping[str, Any] = field(default_factory=dict[str, Any])
    passes_environment: bool = False
    reference: str = ""
    forwards: str = ""
    add: str = ""

    @property
    def path(self) -> tuple[str, ...]:
        """The keys that lead to our entry."""
        return (*self.servers, SCRIPT)

    def entry(self, launch: Launch) -> dict[str, Any]:
        """What the client's file has to say of this server."""
        passed = [AGENT_VARIABLE] * bool(launch.agent) + list(launch.secrets)
        env = dict(launch.settings)
        if self.passes_environment or self.forwards:
            pass
        elif self.reference:
            env |= {name: self.reference.replace("NAME", name) for name in passed}
        elif launch.agent:
            env[AGENT_VARIABLE] = launch.agent
        entry: dict[str, Any] = {**self.fixed, "command": launch.command, "args": list(launch.args)}
        if env:
            entry["env"] = env
        if self.forwards and passed:
            entry[self.forwards] = passed
        return entry

    def notes(self, launch: Launch) -> list[str]:
        """What the user should know about the entry."""
        notes = list(launch.notes)
        by_value = not (self.passes_environment or self.reference or self.forwards)
        if by_value and launch.agent:
            notes.append(f"{AGENT_VARIABLE} is written as it is now; run this again when it has changed.")
        if by_value and (names := launch.secrets + launch.unset):
            notes.append(
                f"{self.title} passes no variables on and can't refer to them, so {_listed(names)} not in there. "
                'Where deploy is to use such a variable, add it under "env" yourself.'
            )
        elif launch.unset and self.passes_environment:
            notes.append(
                f"{_listed(launch.unset)} not set here. "
                f"Where deploy is to use such a variable, set it where {self.title} is started."
            )
        elif launch.unset:
            notes.append(
                f"{_listed(launch.unset)} not set here, so not in there. "
                "Where deploy is to use such a variable, set it and run this again."
            )
        return notes

    def own_command(self, launch: Launch) -> str:
        """The client's own command that does about the same; "" where it has none, or can't say all of it."""
        entry = self.entry(launch)
        if not self.add or "env" in entry or self.forwards in entry:
            return ""
        return f"{self.add} {shlex.join([launch.command, *launch.args])}"


def _listed(names: tuple[str, ...]) -> str:
    return f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'}"
