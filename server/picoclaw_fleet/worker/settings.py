"""What PicoClaw is told through its environment, and which of that must never be seen."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.inventory import Host

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SHORTEST_SECRET = 8


def settings_of(host: Host) -> dict[str, str]:
    """The environment for PicoClaw on that host; a value `${NAME}` is taken from our own environment.

    Raises:
        HostError: A variable that is referred to isn't set (key_missing).
    """
    settings = {name: _resolve(host, value) for name, value in host.env.items()}
    if host.restrict_to_workspace is not None:
        settings["PICOCLAW_AGENTS_DEFAULTS_RESTRICT_TO_WORKSPACE"] = str(host.restrict_to_workspace).lower()
    return settings


def secrets_of(host: Host, settings: Mapping[str, str]) -> frozenset[str]:
    """The values that are taken out of whatever that host sends back: those of 8 characters and more."""
    referred = {settings[name] for name, value in host.env.items() if _REFERENCE.search(value) and name in settings}
    key = os.environ.get(host.api_key_env, "") if host.api_key_env else ""
    return frozenset(value for value in {key, *referred} if len(value) >= _SHORTEST_SECRET)


def _resolve(host: Host, value: str) -> str:
    def look_up(match: re.Match[str]) -> str:
        name = match[1]
        if name not in os.environ:
            raise HostError(
                f"its env refers to ${{{name}}}, which is not set here.",
                host=host.name,
                reason=Reason.KEY_MISSING,
                next_step=f"Set {name} in the environment of this server.",
            )
        return os.environ[name]

    return _REFERENCE.sub(look_up, value)
