"""Commands about hosts: hosts, status, trust."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from picoclaw_fleet.cli import exit_codes
from picoclaw_fleet.cli.exit_codes import ExitCode
from picoclaw_fleet.cli.options import SELECTORS, common, complete_hosts, hosts_argument, json_option, with_fleet
from picoclaw_fleet.cli.options import inventory as read_inventory
from picoclaw_fleet.cli.output import command, print_json, print_notices, print_table, say, trouble
from picoclaw_fleet.text.wording import counted

if TYPE_CHECKING:
    from picoclaw_fleet.cli.documents import ConfiguredHost
    from picoclaw_fleet.config.inventory import Host, Inventory
    from picoclaw_fleet.fleet import Fleet
    from picoclaw_fleet.results import HostEntry, HostsResult


@click.command(epilog=SELECTORS)
@hosts_argument()
@json_option
@common
def hosts(hosts: tuple[str, ...], as_json: bool, config: str | None) -> None:
    """List HOSTS as the fleet config has them.

    None is contacted; `status` does that.

    \b
    Examples:
      picoclaw-fleet hosts
      picoclaw-fleet hosts tag:web '!web3'
    """
    chosen = read_inventory(config).select(hosts) if hosts else read_inventory(config).hosts
    summary = (
        f"{counted(len(chosen), 'host')}."
        if chosen
        else f"The fleet config has no hosts. Add one with: {command('add', 'NAME')}"
    )
    if as_json:
        from picoclaw_fleet.cli.documents import HostList

        print_json(HostList(summary=summary, hosts=[_as_configured(host) for host in chosen]))
        return
    if chosen:
        rows = [
            (host.name, host.address, host.port or None, host.user, host.arch, host.jump, ", ".join(host.tags))
            for host in chosen
        ]
        print_table(("host", "address", "port", "user", "arch", "jump", "tags"), rows)
    say(summary)


@click.command(epilog=f"{SELECTORS}\n\n{exit_codes.TABLE}")
@hosts_argument()
@json_option
@common
def status(hosts: tuple[str, ...], as_json: bool, config: str | None) -> None:
    """Look at HOSTS, all at once.

    Reachable or not, PicoClaw ready or not, load, free memory and disk, jobs. Changes nothing.

    \b
    Examples:
      picoclaw-fleet status
      picoclaw-fleet status 'web[1-3]' --json
    """

    async def look(fleet: Fleet) -> HostsResult:
        return await fleet.status(hosts)

    result = with_fleet(config, look)
    if as_json:
        print_json(result)
    else:
        print_table(_STATUS, [_status_row(host) for host in result.hosts], state=1)
        say(result.summary)
        for host in result.hosts:
            if host.reason:
                say(f"{host.name}: {trouble(host, host.name)}")
        print_notices(result.notices)
    sys.exit(exit_codes.of_hosts(result.hosts))


@click.command()
@click.argument("name", shell_complete=complete_hosts)
@click.option("--yes", is_flag=True, help="Don't ask.")
@common
def trust(name: str, yes: bool, config: str | None) -> None:
    """Trust the key that host NAME offers.

    Not where another key of it is known: that is refused, with the line to remove if the new key is right. The key
    is shown first. Compare the fingerprint with the one that the host itself tells: ssh-keygen -lf
    /etc/ssh/ssh_host_ed25519_key.pub
    """
    import anyio

    fleet = read_inventory(config)
    if not anyio.run(offer_to_trust, fleet, fleet.get(name), yes):
        sys.exit(ExitCode.USAGE)


async def offer_to_trust(fleet: Inventory, host: Host, yes: bool) -> bool:
    """Shows the key that a host offers, and trusts it if the person agrees.

    Args:
        fleet: Where its jump hosts are found.
        host: Whose key it is.
        yes: Don't ask.

    Returns:
        Whether it is trusted now.

    Raises:
        HostError: The host can't be reached; or another key of it is known, and nobody is asked then.
        UsageError: known_hosts can't be written.
    """
    # asyncssh takes a while to import; the other commands need not wait for it.
    from picoclaw_fleet.errors import UsageError
    from picoclaw_fleet.transport import Pool
    from picoclaw_fleet.transport import trust as trust_key
    from picoclaw_fleet.transport.host_keys import OWN_FINGERPRINT

    async with Pool(fleet.find) as pool:
        key = await pool.offered_key(host)
    click.echo(f"{host.name} offers the {key.type} key {key.fingerprint}")
    if key.known:
        say("It is trusted already.")
        return True
    if not yes:
        if not sys.stdin.isatty():
            say(f"Nothing was done. If {OWN_FINGERPRINT} says the same there, run it again with --yes.")
            return False
        say(f"Compare it with what the host itself tells: {OWN_FINGERPRINT}")
        if not click.confirm("Is that the key of this host?", err=True):
            say("Nothing was done.")
            return False
    try:
        trust_key(key)
    except OSError as error:
        raise UsageError(f"{key.file} can't be written: {error.strerror}.") from error
    click.echo(f"It is trusted from now on, in {key.file}")
    return True


_STATUS = ("host", "picoclaw", "version", "arch", "load", "mem MB", "disk MB", "running", "free", "ms")


def _status_row(host: HostEntry) -> tuple[object, ...]:
    return (
        host.name,
        host.picoclaw if host.reachable else "unreachable",
        host.version,
        host.arch,
        host.load,
        host.memory_free_mb,
        host.disk_free_mb,
        host.running,
        host.free_slots,
        host.round_trip_ms,
    )


def _as_configured(host: Host) -> ConfiguredHost:
    """A host with the defaults applied; what is left out in the fleet config is left out."""
    from picoclaw_fleet.cli.documents import ConfiguredHost

    return ConfiguredHost(
        name=host.name,
        host=host.address,
        port=host.port or None,
        user=host.user or None,
        ssh_key=str(host.ssh_key or "") or None,
        jump=host.jump or None,
        arch=host.arch or None,
        tags=list(host.tags) or None,
        slots=host.slots or None,
        provider=host.provider or None,
        model=host.model or None,
    )
