"""What PicoClaw is told through its environment, and which of that must never be seen."""

from __future__ import annotations

import os
from collections.abc import Mapping

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.config.values import referenced_variable
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.worker.model_access import key_variable

_SHORTEST_SECRET = 8


def settings_of(host: Host) -> dict[str, str]:
    """The environment for PicoClaw on that host; a value `${NAME}` is taken from our own environment.

    Raises:
        HostError: A variable that is referred to isn't set, or holds several lines (key_missing).
    """
    settings = {name: _resolve(host, value) for name, value in host.env.items()}
    if host.restrict_to_workspace is not None:
        settings["PICOCLAW_AGENTS_DEFAULTS_RESTRICT_TO_WORKSPACE"] = str(host.restrict_to_workspace).lower()
    return settings


def secrets_of(host: Host, settings: Mapping[str, str]) -> frozenset[str]:
    """The values that are taken out of whatever that host sends back: those of 8 characters and more."""
    referred = {settings[name] for name, value in host.env.items() if referenced_variable(value) and name in settings}
    key = os.environ.get(key_variable(host), "").strip()
    return frozenset(value for value in {key, *referred} if len(value) >= _SHORTEST_SECRET)


def _resolve(host: Host, value: str) -> str:
    variable = referenced_variable(value)
    if variable is None:
        return value
    if variable not in os.environ:
        raise HostError(
            f"its env refers to ${{{variable}}}, which is not set here.",
            host=host.name,
            reason=Reason.KEY_MISSING,
            next_step=f"Set {variable} in the environment of this server.",
        )
    resolved = os.environ[variable]
    if "\n" in resolved:  # would be read as further settings on the host, or as the beginning of the task
        raise HostError(
            f"its env refers to ${{{variable}}}, which holds several lines.",
            host=host.name,
            reason=Reason.KEY_MISSING,
            next_step=f"Set {variable} to one line in the environment of this server.",
        )
    return resolved
