"""What many commands have in common: their options, the completion of host names, and how they get at the fleet."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

from picoclaw_fleet.cli.afterword import afterword
from picoclaw_fleet.cli.boundary import VERBOSITY

if TYPE_CHECKING:
    from picoclaw_fleet.config.inventory import Inventory
    from picoclaw_fleet.fleet import Fleet

T = TypeVar("T")
Function = TypeVar("Function", bound=Callable[..., object])

SELECTORS = "A selector is a name, tag:x, arch:arm64, all, a glob 'web*', a range 'web[1-3]', or '!x' to leave x out."

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, with the field names of the tools.")
lines_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, a line for each event, with the field names of the tools."
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="Don't show progress.")

JSON_LINES = """\b
With --json each line is an object with a "type":
  version   the first line: {"type": "version", "ui": "1.0"}
  started   job_id or batch_id, and total
  progress  counts and elapsed_seconds, whenever counts change
  job       a job that has ended, with the fields of the tool job_result
  result    the last line: summary, and counts and batch_id of a batch"""


def common(function: Function) -> Function:
    """Gives a command --config and -v."""
    config = click.option(
        "--config", metavar="FILE", help="The fleet config; else PICOCLAW_FLEET_CONFIG, else the usual one."
    )
    verbose = click.option(
        "-v", "--verbose", count=True, expose_value=False, callback=_set_verbosity, help="Say more (-vv: still more)."
    )
    return config(verbose(function))


def hosts_argument(*, required: bool = False) -> Callable[[Function], Function]:
    """Gives a command selectors."""
    metavar = "HOSTS..." if required else "[HOSTS]..."
    return click.argument("hosts", metavar=metavar, nargs=-1, required=required, shell_complete=complete_hosts)


def complete_hosts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The selectors that a shell may offer."""
    from picoclaw_fleet.config.file import config_path, load_config
    from picoclaw_fleet.config.inventory import Inventory
    from picoclaw_fleet.errors import FleetError

    try:
        # Who presses Tab has asked for nothing yet, so no template is made.
        hosts = Inventory.from_config(load_config(config_path(ctx.params.get("config")))).hosts
    except FleetError:
        return []
    tags = sorted({f"tag:{tag}" for host in hosts for tag in host.tags})
    return [word for word in (*(host.name for host in hosts), *tags) if word.startswith(incomplete)]


def inventory(config: str | None) -> Inventory:
    """The hosts of the fleet config.

    Raises:
        ConfigError: The config can't be used.
    """
    from picoclaw_fleet.config.file import config_source
    from picoclaw_fleet.config.inventory import Inventory

    return Inventory.from_config(config_source(config).current())


def with_fleet(config: str | None, work: Callable[[Fleet], Awaitable[T]]) -> T:
    """Opens the fleet, does some work with it, and closes it again.

    Raises:
        ConfigError: The config can't be used.
    """
    import anyio

    # What stands on asyncssh takes a while to import; help and completion need not wait for it.
    from picoclaw_fleet.config.file import config_source
    from picoclaw_fleet.fleet import Fleet

    async def run() -> T:
        async with Fleet(config_source(config)) as fleet:
            return await work(fleet)

    with afterword():
        return anyio.run(run)


def _set_verbosity(ctx: click.Context, param: click.Parameter, value: int) -> None:
    if value:
        ctx.meta[VERBOSITY] = value
        logging.basicConfig(
            level=logging.INFO if value == 1 else logging.DEBUG, format="%(levelname)s %(name)s: %(message)s"
        )
        # At INFO it prints each command, and at DEBUG what is sent.
        logging.getLogger("asyncssh").setLevel(logging.WARNING)
