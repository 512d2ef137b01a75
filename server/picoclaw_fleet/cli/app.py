"""The command `picoclaw-fleet` for people."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import click

from picoclaw_fleet import __version__
from picoclaw_fleet.config_files import ConfigSource, config_path
from picoclaw_fleet.errors import FleetError
from picoclaw_fleet.inventory import Host, Inventory

Serve = Callable[[str | None], None]
"""Serves MCP on stdio with the config at that path."""

_config = click.option(
    "--config", metavar="FILE", help="The fleet config; else PICOCLAW_FLEET_CONFIG, else the usual one."
)


def command_line(serve: Serve) -> None:
    """Runs the command line; `serve` is the other surface, which this one doesn't know."""
    _build(serve)(prog_name="picoclaw-fleet")


def _build(serve: Serve) -> click.Group:
    @click.group(context_settings={"help_option_names": ["-h", "--help"]})
    @click.version_option(__version__)
    def picoclaw_fleet() -> None:
        """Hands out work to a fleet of PicoClaw workers over SSH.

        Started by an MCP client, without arguments, it serves MCP on stdin and stdout.
        """

    @picoclaw_fleet.command("serve")
    @_config
    def _(config: str | None) -> None:
        """Serve MCP on stdin and stdout."""
        serve(config)

    picoclaw_fleet.add_command(trust)
    return picoclaw_fleet


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Don't ask.")
@_config
def trust(name: str, yes: bool, config: str | None) -> None:
    """Show the key that host NAME offers, and trust it from now on.

    Compare the fingerprint with the one that the host itself tells: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
    """
    try:
        host = Inventory.from_config(ConfigSource(config_path(config)).current()).get(name)
        anyio.run(_trust, host, yes)
    except FleetError as error:
        raise click.ClickException(str(error)) from error


async def _trust(host: Host, yes: bool) -> None:
    # asyncssh takes a while to import; the other commands need not wait for it.
    from picoclaw_fleet.transport import Pool
    from picoclaw_fleet.transport import trust as trust_key

    async with Pool() as pool:
        key = await pool.offered_key(host)
    click.echo(f"{host.name} offers the {key.type} key {key.fingerprint}")
    if not yes:
        click.confirm("Is that the key of this host?", abort=True, err=True)
    try:
        trust_key(key)
    except OSError as error:
        raise click.ClickException(f"{key.file} can't be written: {error.strerror}") from error
    click.echo(f"It is trusted from now on, in {key.file}")
