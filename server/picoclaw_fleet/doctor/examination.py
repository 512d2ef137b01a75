"""The whole examination, and what it comes to."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field

from picoclaw_fleet.config.file import command_for
from picoclaw_fleet.doctor import access, environment, store
from picoclaw_fleet.doctor.clients import clients
from picoclaw_fleet.doctor.finding import Finding, Level, error, ok, warning
from picoclaw_fleet.errors import LedgerError, UsageError
from picoclaw_fleet.results import HostEntry, Result
from picoclaw_fleet.text.wording import counted


class Diagnosis(Result):
    """What the doctor found."""

    ok: bool = Field(description="False when there is an error.")
    path: str = Field(description="The fleet config.")
    checks: list[Finding] = Field(description="Everything that was looked at, in order.")


async def examine(path: Path, *, probe: bool = False, environ: Mapping[str, str] = os.environ) -> Diagnosis:
    """Looks at everything.

    Args:
        path: The fleet config.
        probe: Whether to contact the hosts as well.
        environ: The environment.
    """
    from picoclaw_fleet.fleet import state_folder

    found = [*environment.versions(), *environment.variables(environ)]
    hosts = access.config(path, found)
    found += access.jumps(hosts)
    found += access.variables(hosts, environ)
    agent_needed = access.keys(path, hosts, found)
    found += environment.agent(environ, needed=agent_needed)
    try:
        found += store.ledger(state_folder())
    except UsageError as problem:
        found.append(Finding.of_error("ledger", problem))
    found += clients(environ)
    notices: Sequence[str] = ()
    if probe and hosts:
        notices = await _probe(path, found)
    errors = sum(one.level is Level.ERROR for one in found)
    warnings = sum(one.level is Level.WARNING for one in found)
    summary = f"{counted(errors, 'error')}, {counted(warnings, 'warning')}." if errors or warnings else "All is well."
    return Diagnosis(summary=summary, notices=list(notices), ok=not errors, path=str(path), checks=found)


async def _probe(path: Path, found: list[Finding]) -> Sequence[str]:
    from picoclaw_fleet.config.file import ConfigSource
    from picoclaw_fleet.fleet import Fleet

    try:
        async with Fleet(ConfigSource(path)) as fleet:
            result = await fleet.status()
    except LedgerError as problem:
        # Where the ledger has been found to be bad, this is the same trouble once more.
        if not any(one.check == "ledger" and one.level is Level.ERROR for one in found):
            found.append(Finding.of_error("ledger", problem))
        return ()
    found += [_of_host(path, host) for host in result.hosts]
    return result.notices


def _of_host(path: Path, host: HostEntry) -> Finding:
    said = (host.message or "").removeprefix(f"{host.name}: ")
    # What connects knows of no other fleet config.
    trust = f"picoclaw-fleet trust {host.name}", command_for(path, "trust", host.name)
    next_step = (host.next_step or "").replace(*trust)
    if not host.reachable:
        return error("hosts", f"{host.reason}: {said}", next_step, host=host.name)
    if host.reason:
        return warning("hosts", f"{host.reason}: {said}", next_step, host=host.name)
    return ok("hosts", f"ready, PicoClaw {host.version}, {host.round_trip_ms} ms", host=host.name)
