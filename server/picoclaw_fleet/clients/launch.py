"""What a client has to know to start this server: the command, and the variables that it must not go without."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from picoclaw_fleet.config.file import DEFAULT_PATH, PATH_VARIABLE, config_path, load_config
from picoclaw_fleet.config.inventory import Inventory
from picoclaw_fleet.config.values import expand_home, referenced_variable
from picoclaw_fleet.errors import UsageError

SCRIPT = "picoclaw-fleet"
STATE_VARIABLE = "PICOCLAW_FLEET_STATE_DIR"
AGENT_VARIABLE = "SSH_AUTH_SOCK"


@dataclass(frozen=True, slots=True)
class Launch:
    """How this server is started.

    Attributes:
        command: An absolute path: clients often have a PATH of their own.
        args: Its arguments.
        settings: Variables whose values are written down.
        agent: Where the ssh-agent listens now; "" without one.
        secrets: Names of the variables with keys and passphrases that are set now.
        unset: Names of such variables that the fleet config names and that are not set.
        notes: What the user should know.
    """

    command: str
    args: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    agent: str = ""
    secrets: tuple[str, ...] = ()
    unset: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def launch_of(
    config: str | None = None, *, environ: Mapping[str, str] = os.environ, argv: Sequence[str] | None = None
) -> Launch:
    """How the running picoclaw-fleet is to be started by a client.

    Args:
        config: What --config names, or None.
        environ: The environment; its variables are what a client may have to be given.
        argv: The command line of this process.

    Raises:
        UsageError: There is no telling what the home directory is.
    """
    path = config_path(config, environ)
    settings: dict[str, str] = {}
    if path != expand_home(DEFAULT_PATH):
        settings[PATH_VARIABLE] = str(path.absolute())
    if environ.get(STATE_VARIABLE):
        settings[STATE_VARIABLE] = str(expand_home(environ[STATE_VARIABLE]).absolute())
    names, notes = _secrets(path)
    command, args = _command(argv or sys.argv)
    if any(part in Path(command).parts for part in ("archive-v0", "environments-v2")):
        notes.append(
            f"{command} lies in uv's cache, which may be cleared. Install it for good first: uv tool install {SCRIPT}"
        )
    return Launch(
        command,
        args,
        settings,
        environ.get(AGENT_VARIABLE, ""),
        tuple(name for name in names if environ.get(name)),
        tuple(name for name in names if not environ.get(name)),
        tuple(notes),
    )


def _command(argv: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    script = Path(argv[0])
    if script.name == SCRIPT and script.exists():
        # Not resolved: a link such as ~/.local/bin/picoclaw-fleet stays right over updates.
        return str(script.absolute()), ()
    beside = Path(sys.executable).with_name(SCRIPT)
    return (str(beside), ()) if beside.exists() else (sys.executable, ("-m", "picoclaw_fleet"))


def _secrets(path: Path) -> tuple[list[str], list[str]]:
    """The variables with secrets that the fleet config names, in order, and what is wrong with that config."""
    try:
        hosts = Inventory.from_config(load_config(path)).hosts
    except UsageError as error:
        return [], [f"The fleet config can't be used yet, so its variables are not known: {error}"]
    names: dict[str, None] = {}
    for host in hosts:
        named = [
            host.api_key_env,
            host.key_passphrase_env,
            *(referenced_variable(value) for value in host.env.values()),
        ]
        names.update(dict.fromkeys(name for name in named if name))
    return list(names), []
