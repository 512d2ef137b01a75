"""The MCP clients that know this server: whether they would start it, and with what it needs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from picoclaw_fleet.clients import CLIENTS, Client, client_named, installed_entry
from picoclaw_fleet.clients.launch import AGENT_VARIABLE
from picoclaw_fleet.config_files import PATH_VARIABLE
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
    mend = f"Run: picoclaw-fleet clients install {client.name}"
    command = str(entry.get("command", ""))
    if shutil.which(command, path=environ.get("PATH", os.defpath)) is None:
        yield warning("clients", f"{client.title} can't start {command or 'it'}, which is not there.", mend)
    variables = cast("Mapping[str, object]", entry.get("env") or {})
    named = variables.get(PATH_VARIABLE)
    if isinstance(named, str) and "$" not in named and not Path(named).expanduser().exists():
        yield warning("clients", f"{client.title} gives it the fleet config {named}, which is not there.", mend)
    socket = variables.get(AGENT_VARIABLE)
    if isinstance(socket, str) and "$" not in socket and not Path(socket).exists():
        yield warning("clients", f"{client.title} gives it the ssh-agent {socket}, which is not there any more.", mend)
    passes = client.passes_environment or AGENT_VARIABLE in (*variables, *entry.get(client.forwards or "env", ()))
    if environ.get(AGENT_VARIABLE) and not passes:
        yield Finding(
            level=Level.INFO,
            check="clients",
            message=f"{client.title} does not pass {AGENT_VARIABLE} on; keys of the ssh-agent are not used there.",
            next_step=mend,
        )
