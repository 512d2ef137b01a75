"""What is needed to get into the hosts: the config, its variables, keys, host keys. Nothing is contacted."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from picoclaw_fleet.config.file import TEMPLATE, command_for, load_config
from picoclaw_fleet.config.inventory import Host, Inventory
from picoclaw_fleet.config.values import referenced_variable
from picoclaw_fleet.doctor.finding import Finding, Level, error, ok, warning
from picoclaw_fleet.errors import HostError, Reason, UsageError
from picoclaw_fleet.text.nearest import nearest
from picoclaw_fleet.text.wording import counted

if TYPE_CHECKING:
    from picoclaw_fleet.transport.access import Accesses

_OTHERS_MAY_WRITE = 0o022
_OTHERS_MAY_READ = 0o077


def config(path: Path, found: list[Finding]) -> Sequence[Host]:
    """Looks at the fleet config.

    Args:
        path: Its file.
        found: Takes the findings.

    Returns:
        The hosts; none when it can't be used, or is still the template with its sample.
    """
    try:
        hosts = Inventory.from_config(load_config(path)).hosts
        text = path.read_text(encoding="utf-8-sig")
    except UsageError as problem:
        if isinstance(problem.__cause__, FileNotFoundError):
            found.append(
                error("config", f"There is no fleet config at {path}.", f"Create one: {command_for(path, 'init')}")
            )
        else:
            found.append(Finding.of_error("config", problem))
        return ()
    if text == TEMPLATE:
        next_step = f"Add your first host: {command_for(path, 'add', 'NAME')}. Or put your own hosts into it."
        found.append(warning("config", f"{path} is still the template.", next_step))
        hosts = ()
    elif not hosts:
        found.append(warning("config", f"{path} has no hosts.", f"Add one: {command_for(path, 'add', 'NAME')}"))
    else:
        found.append(ok("config", f"{path} has {counted(len(hosts), 'host')}"))
    if path.stat().st_mode & _OTHERS_MAY_WRITE:
        found.append(error("config", f"{path} may be changed by others.", f"Run: chmod 600 {shlex.quote(str(path))}"))
    return hosts


def variables(hosts: Sequence[Host], environ: Mapping[str, str]) -> Iterator[Finding]:
    """The variables that the fleet config names."""
    for name in _named(host.key_passphrase_env for host in hosts):
        if not environ.get(name):
            yield error("variables", f"{name}, the passphrase of an ssh_key, is not set.", _where_to_set(name))
    for name in _named(host.api_key_env for host in hosts):
        if environ.get(name):
            yield ok("variables", f"{name} is set")
        else:
            yield warning(
                "variables",
                f"{name}, the provider's key, is not set: deploy can't give it to workers. "
                "Workers whose owner has configured PicoClaw do without.",
                _where_to_set(name),
            )
    for host in hosts:
        for name in _named(referenced_variable(value) or "" for value in host.env.values()):
            if not environ.get(name):
                yield warning(
                    "variables",
                    f"{name}, which its env refers to, is not set.",
                    _where_to_set(name),
                    host=host.name,
                )


def keys(path: Path, hosts: Sequence[Host], found: list[Finding]) -> bool:
    """Looks at the keys that we log in with, and the host keys that are known.

    Args:
        path: The fleet config.
        hosts: Whom to get into.
        found: Takes the findings.

    Returns:
        Whether there is a host that can only be logged in to with an ssh-agent.
    """
    from picoclaw_fleet.transport.access import Accesses

    accesses = Accesses()
    agent_needed = False
    good: list[str] = []
    for host in hosts:
        before = len(found)
        try:
            access = accesses.get(host)
        except HostError as problem:
            check = "host_keys" if problem.reason is Reason.HOST_KEY_UNKNOWN else "keys"
            found.append(Finding.of_error(check, problem, host=host.name))
            continue
        agent_needed |= not any(identity.key for identity in access.credentials.identities)
        found += _of_key_file(host)
        trust = access.trust
        if not (trust.keys or trust.spare_keys or trust.authorities or trust.pinned or trust.accepts_new):
            found.append(
                warning(
                    "host_keys",
                    "its host key is not known, so it will be refused.",
                    f"Compare and trust it: {command_for(path, 'trust', host.name)}",
                    host=host.name,
                )
            )
        good += [host.name] * (len(found) == before)
    if good:
        found.append(ok("keys", f"Keys and host keys are there for {_listed(good)}"))
    return agent_needed


def jumps(hosts: Sequence[Host]) -> Iterator[Finding]:
    """The jump hosts that may be meant for a host of the fleet, and aren't called like it."""
    from picoclaw_fleet.transport.access import Accesses

    accesses = Accesses()
    names = {host.name for host in hosts}
    for host in hosts:
        for hop in filter(None, host.jump.split(",")):
            meant = nearest(hop, names - {host.name})
            if hop in names or not meant or _is_place(host, hop, accesses):
                continue
            yield Finding(
                level=Level.INFO,
                check="config",
                host=host.name,
                message=f"its jump host {hop} is no host of the fleet config, so it is taken for an address.",
                next_step=f"Did you mean {' or '.join(meant)}? Correct `jump` then.",
            )


def _is_place(host: Host, hop: str, accesses: Accesses) -> bool:
    """Says whether a hop is plainly no name of the fleet: it has a login or port, or ~/.ssh/config knows it."""
    if "@" in hop or ":" in hop:
        return True
    try:
        return accesses.settings(replace(host, address=hop, ssh_config_host="")).address != hop
    except HostError:
        return False


def _of_key_file(host: Host) -> Iterator[Finding]:
    if host.ssh_key is None:
        return
    try:
        status = host.ssh_key.stat()
    except FileNotFoundError:
        return
    if status.st_mode & _OTHERS_MAY_READ and status.st_uid == os.getuid():
        yield Finding(
            level=Level.WARNING,
            check="keys",
            host=host.name,
            message=f"others may read its key {host.ssh_key}; ssh itself would refuse it.",
            next_step=f"Run: chmod 600 {shlex.quote(str(host.ssh_key))}",
        )


def _named(names: Iterator[str]) -> list[str]:
    return sorted({name for name in names if name})


def _where_to_set(name: str) -> str:
    return (
        f"Set {name} where this is started. Where a client starts the server, set it for the client, "
        "then run: picoclaw-fleet clients install NAME"
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:10])
    return shown + (f" and {len(names) - 10} more" if len(names) > 10 else "")
