"""The command doctor."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from picoclaw_fleet.cli.afterword import afterword
from picoclaw_fleet.cli.exit_codes import ExitCode
from picoclaw_fleet.cli.options import common, json_option
from picoclaw_fleet.cli.output import print_json, print_notices, say, state_word

if TYPE_CHECKING:
    from picoclaw_fleet.doctor import Finding


@click.command()
@click.option("--probe", is_flag=True, help="Contact the hosts as well.")
@json_option
@common
def doctor(probe: bool, as_json: bool, config: str | None) -> None:
    """Find what keeps the fleet from working.

    Names each problem with its fix.

    Environment, versions, fleet config, keys, ssh-agent, host keys, ledger, MCP clients, and with --probe the hosts.
    Exits with 0 where there are no errors; warnings don't count.

    \b
    Examples:
      picoclaw-fleet doctor
      picoclaw-fleet doctor --probe --json
    """
    import anyio

    from picoclaw_fleet.config.file import config_path
    from picoclaw_fleet.doctor import examine

    async def look() -> ExitCode:
        diagnosis = await examine(config_path(config), probe=probe)
        if as_json:
            print_json(diagnosis)
        else:
            for finding in diagnosis.checks:
                _print(finding)
            say(diagnosis.summary)
            print_notices(diagnosis.notices)
        return ExitCode.OK if diagnosis.ok else ExitCode.FAILED

    with afterword():
        code = anyio.run(look)
    sys.exit(code)


def _print(finding: Finding) -> None:
    level = state_word(finding.level.value) + " " * (8 - len(finding.level.value))
    about = f"{finding.check}: " + (f"{finding.host}: " if finding.host else "")
    click.echo(f"{level}{about}{finding.message}")
    if finding.next_step:
        click.echo(f"{'':8}-> {finding.next_step}")
