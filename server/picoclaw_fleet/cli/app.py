"""The command `picoclaw-fleet` for people."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

import click

from picoclaw_fleet import __version__
from picoclaw_fleet.cli.boundary import FleetGroup
from picoclaw_fleet.cli.clients import clients
from picoclaw_fleet.cli.config import completion, config
from picoclaw_fleet.cli.deploy import deploy, teardown
from picoclaw_fleet.cli.doctor import doctor
from picoclaw_fleet.cli.exit_codes import TABLE
from picoclaw_fleet.cli.hosts import hosts, status, trust
from picoclaw_fleet.cli.jobs import cancel, jobs, logs
from picoclaw_fleet.cli.serve import Serve, serve_command
from picoclaw_fleet.cli.setup import add, init
from picoclaw_fleet.cli.token import token
from picoclaw_fleet.cli.work import dispatch, map_tasks

if TYPE_CHECKING:
    import io

_COMMANDS = (
    init,
    add,
    hosts,
    status,
    trust,
    deploy,
    dispatch,
    map_tasks,
    jobs,
    logs,
    cancel,
    teardown,
    doctor,
    clients,
    token,
    config,
    completion,
)


def command_line(serve: Serve) -> None:
    """Runs the command line; `serve` is the other surface, which this one doesn't know."""
    if sys.stdout.errors == "strict":
        # An answer may hold what the locale has no character for.
        cast("io.TextIOWrapper", sys.stdout).reconfigure(errors="backslashreplace")
    build(serve)(prog_name="picoclaw-fleet")


def build(serve: Serve) -> click.Group:
    """Makes the group of all commands."""

    @click.group(cls=FleetGroup, context_settings={"help_option_names": ["-h", "--help"]}, epilog=TABLE)
    @click.version_option(__version__)
    def picoclaw_fleet() -> None:
        """Hands out work to a fleet of PicoClaw workers over SSH.

        Started by an MCP client, without arguments, it serves MCP on stdin and stdout.

        \b
        Five minutes from nothing to answers:
          picoclaw-fleet add web1               a machine that you reach with ssh
          picoclaw-fleet doctor --probe         what is missing, and how to mend it
          picoclaw-fleet deploy                 PicoClaw on all that lack it
          picoclaw-fleet dispatch 'Say hello'   one task for the least busy host
          picoclaw-fleet clients install NAME   the same as tools of your MCP client
        """

    for command in (serve_command(serve), *_COMMANDS):
        picoclaw_fleet.add_command(command)
    return picoclaw_fleet
