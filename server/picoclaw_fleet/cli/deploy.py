"""Commands that put PicoClaw on hosts and take it away again: deploy and teardown."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import click

from picoclaw_fleet.cli import exit_codes
from picoclaw_fleet.cli.exit_codes import ExitCode
from picoclaw_fleet.cli.options import common, hosts_argument, lines_option, quiet_option, with_fleet
from picoclaw_fleet.cli.output import print_version

if TYPE_CHECKING:
    from picoclaw_fleet.fleet import Fleet
    from picoclaw_fleet.results import HostsResult

_JSON_LINES = """\b
With --json each line is an object with a "type":
  version   the first line: {"type": "version", "ui": "1.0"}
  host      a host that is done, with the fields of the tool
  result    the last line: summary"""
_HELP = f"{_JSON_LINES}\n\n{exit_codes.TABLE}"


@click.command(epilog=_HELP)
@hosts_argument()
@click.option("--version", default="", metavar="TAG", help="Which release: latest or a tag; else the fleet config's.")
@click.option(
    "--file",
    "local",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    help="A binary or archive of your own in the place of a release.",
)
@click.option("--force", is_flag=True, help="Go on where the first host of its kind failed.")
@quiet_option
@lines_option
@common
def deploy(
    hosts: tuple[str, ...],
    version: str,
    local: str | None,
    force: bool,
    quiet: bool,
    as_json: bool,
    config: str | None,
) -> None:
    """Put PicoClaw on HOSTS.

    Without HOSTS: on all that are not ready. The release is verified, tried on one host of each kind first, and read
    back. What was there keeps working until the new one is ready, and the user's own configuration is never written
    to.

    \b
    Examples:
      picoclaw-fleet deploy
      picoclaw-fleet deploy --version v0.2.9 'web[1-3]'
    """
    from pathlib import Path

    async def work(fleet: Fleet, names: Sequence[str]) -> HostsResult:
        return await fleet.deploy(
            names,
            version=version,
            force=force,
            local=Path(local) if local else None,
            unready_only=not hosts,
            wait_seconds=_STEP_SECONDS,
        )

    sys.exit(_carry_out(config, hosts, work, quiet=quiet, as_json=as_json))


@click.command(epilog=_HELP)
@hosts_argument(required=True)
@click.option("--purge", is_flag=True, help="Also what PicoClaw itself left behind.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@quiet_option
@lines_option
@common
def teardown(hosts: tuple[str, ...], purge: bool, yes: bool, quiet: bool, as_json: bool, config: str | None) -> None:
    """Take PicoClaw away from HOSTS.

    What deploy put there and nothing of the user's; it is read back that it is gone. Refused while jobs run there.

    \b
    Example:
      picoclaw-fleet teardown web3
    """
    from picoclaw_fleet.cli.options import inventory

    names = [host.name for host in inventory(config).select(hosts)]
    if not yes and not _confirmed(names, purge=purge):
        sys.exit(ExitCode.USAGE)

    async def work(fleet: Fleet, names: Sequence[str]) -> HostsResult:
        return await fleet.teardown(names, purge=purge, wait_seconds=_STEP_SECONDS)

    sys.exit(_carry_out(config, names, work, quiet=quiet, as_json=as_json))


_STEP_SECONDS = 1.0
"""How often the picture is drawn anew: the same call again joins what goes on."""


def _confirmed(names: Sequence[str], *, purge: bool) -> bool:
    from picoclaw_fleet.cli.output import say

    what = "PicoClaw and all that it left behind" if purge else "what deploy put there"
    if not sys.stdin.isatty():
        say(f"This takes {what} away from {', '.join(names)}. Nothing was done; say --yes if that is meant.")
        return False
    if click.confirm(f"Take {what} away from {', '.join(names)}?", err=True):
        return True
    say("Nothing was done.")
    return False


def _carry_out(
    config: str | None,
    hosts: Sequence[str],
    work: Callable[[Fleet, Sequence[str]], Awaitable[HostsResult]],
    *,
    quiet: bool,
    as_json: bool,
) -> ExitCode:
    from picoclaw_fleet.cli.live import open_screen
    from picoclaw_fleet.cli.rollout import follow, print_hosts

    if as_json:
        print_version()

    async def run(fleet: Fleet) -> ExitCode:
        entries = await follow(lambda names: work(fleet, names), hosts, open_screen(quiet=quiet), as_json=as_json)
        if not as_json:
            print_hosts(entries)
        return exit_codes.of_hosts(entries)

    return with_fleet(config, run)
