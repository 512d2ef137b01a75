"""The MCP clients that know this server: whether they would start it, and with what it needs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from typing import Any, cast

from picoclaw_fleet.clients import CLIENTS, Client, client_named, installed_entry
from picoclaw_fleet.clients.launch import AGENT_VARIABLE
from picoclaw_fleet.config.file import PATH_VARIABLE
from picoclaw_fleet.config.values import expand_home
from picoclaw_fleet.doctor.finding import Finding, Level, ok, warning
from picoclaw_fleet.errors import UsageError


def clients(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Looks at what the clients' own files say of this server."""
    for client in (client_named(name, environ) for name in CLIENTS):
        try:
            entry = installed_entry(client, client.file)
        except UsageError as problem:
            yield Finding.of_error("clients", problem, level=Level.WARNING)
            continue
        if entry is not None:
            problems = list(_problems(client, entry, environ))
            yield from problems or [ok("clients", f"{client.title} knows this server ({client.file})")]


def _problems(client: Client, entry: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[Finding]:
    if "command" not in entry:
        return  # it calls a server that somebody else has started
    mend = f"Run: picoclaw-fleet clients install {client.name}"
    command = str(entry["command"])
    if shutil.which(command, path=environ.get("PATH", os.defpath)) is None:
        yield warning("clients", f"{client.title} can't start {command!r}, which is not there.", mend)
    variables = _variables(entry)
    named = variables.get(PATH_VARIABLE)
    if isinstance(named, str) and "$" not in named and not _is_there(named):
        yield warning("clients", f"{client.title} gives it the fleet config {named}, which is not there.", mend)
    socket = variables.get(AGENT_VARIABLE)
    if isinstance(socket, str) and "$" not in socket and not _is_there(socket):
        yield warning("clients", f"{client.title} gives it the ssh-agent {socket}, which is not there any more.", mend)
    forwarded = entry.get(client.forwards)
    passes = (
        client.passes_environment
        or AGENT_VARIABLE in variables
        or (isinstance(forwarded, list) and AGENT_VARIABLE in forwarded)
    )
    if environ.get(AGENT_VARIABLE) and not passes:
        yield Finding(
            level=Level.INFO,
            check="clients",
            message=f"{client.title} does not pass {AGENT_VARIABLE} on; keys of the ssh-agent are not used there.",
            next_step=mend,
        )


def _variables(entry: Mapping[str, Any]) -> Mapping[str, object]:
    """What it says under `env`; people write anything into these files."""
    variables = entry.get("env")
    return cast("Mapping[str, object]", variables) if isinstance(variables, Mapping) else {}


def _is_there(path: str) -> bool:
    try:
        expand_home(path).stat()
    except (OSError, ValueError, UsageError):
        return False
    return True
