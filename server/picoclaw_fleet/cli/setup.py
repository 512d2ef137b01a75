"""Commands that make the fleet config: init and add."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

import click

from picoclaw_fleet.cli.exit_codes import TABLE, ExitCode
from picoclaw_fleet.cli.options import common
from picoclaw_fleet.cli.output import command, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from picoclaw_fleet.config.inventory import Host, Inventory


@click.command()
@common
def init(config: str | None) -> None:
    """Create the fleet config from a template.

    Only its owner may read it. One that exists is left as it is.
    """
    from picoclaw_fleet.config.file import config_path, create_template

    path = config_path(config)
    created = create_template(path)
    click.echo(path)
    say("Created." if created else "It is there already.")
    say(f"Next: {command('add', 'NAME')}, or edit the file; then: {command('doctor', '--probe')}")


@click.command(epilog=TABLE)
@click.argument("name")
@click.option("--host", "address", metavar="ADDRESS", help="Host name, IP address or alias from ~/.ssh/config.")
@click.option("--port", type=int, metavar="PORT", help="SSH port; else ~/.ssh/config or 22.")
@click.option("--user", metavar="USER", help="Login name; else the defaults', ~/.ssh/config or your own.")
@click.option(
    "--key", "ssh_key", metavar="FILE", help="Private key; else the defaults', ~/.ssh/config, agent, usual files."
)
@click.option("--tag", "tags", multiple=True, metavar="WORD", help="To select it by, as tag:WORD. Repeatable.")
@click.option("--jump", metavar="HOPS", help="Jump hosts on the way.")
@click.option("--yes", is_flag=True, help="Trust the host key without asking.")
@click.option("--no-check", is_flag=True, help="Don't try to reach it.")
@common
def add(name: str, yes: bool, no_check: bool, config: str | None, **answers: Any) -> None:
    """Add host NAME to the fleet config.

    Tries it first: shows the host key to trust, and logs in. Without --host it asks for address, port, login name and
    key, as far as they aren't given and where there is a terminal. What is in the config stays as it is written.

    \b
    Examples:
      picoclaw-fleet add web1
      picoclaw-fleet add web1 --host 192.0.2.7 --user pi --key ~/.ssh/id_ed25519 --tag web
    """
    import anyio

    from picoclaw_fleet.cli.host_entry import Draft
    from picoclaw_fleet.config.file import config_path

    path = config_path(config)
    # What is wrong with the name, or with the config as it is, is said before anything is asked.
    Draft.of(path, {"name": name, "host": "localhost"})
    draft = Draft.of(path, {"name": name, **_asked(answers)})
    if no_check or anyio.run(_can_be_used, draft.fleet, draft.host, yes):
        draft.save()
        say(f"{name} is in {draft.path} now. See how it is: {command('status', name)}")
    else:
        say("Nothing was added.")
        sys.exit(ExitCode.USAGE)


def _asked(answers: dict[str, Any]) -> dict[str, Any]:
    """The entry's keys, asked for where that is possible."""
    if not answers["address"]:
        if not sys.stdin.isatty():
            raise click.UsageError("Give --host, the address of the host.")
        answers["address"] = click.prompt("Host name or IP address", err=True, value_proc=_address)
        for key, question, understand in (
            ("port", "SSH port", _port),
            ("user", "Login name", _login),
            ("ssh_key", "Private key file", _key_file),
        ):
            if not answers[key]:
                answers[key] = _answer_or_none(question, understand)
    answers["host"] = answers.pop("address")
    answers["tags"] = list(answers["tags"])
    return {key: answers[key] for key in ("host", "port", "user", "ssh_key", "jump", "tags") if answers[key]}


def _answer_or_none(question: str, understand: Callable[[str], str | int]) -> str | int | None:
    """What a person answers, asked again until it is understood; None where that is left to ssh."""

    def understood(answer: str) -> str | int | None:
        return understand(answer) if answer else None

    question += " (Enter: as ssh decides)"
    return click.prompt(question, default="", show_default=False, err=True, value_proc=understood)


def _address(answer: str) -> str:
    from picoclaw_fleet.config.values import ADDRESS

    return _of_form(ADDRESS, answer)


def _port(answer: str) -> int:
    from picoclaw_fleet.config.values import HIGHEST_PORT

    try:
        return click.IntRange(1, HIGHEST_PORT)(answer)
    except click.BadParameter:
        raise click.BadParameter(f"it has to be a whole number from 1 to {HIGHEST_PORT}.") from None


def _login(answer: str) -> str:
    from picoclaw_fleet.config.values import LOGIN

    return _of_form(LOGIN, answer)


def _key_file(answer: str) -> str:
    from picoclaw_fleet.config.values import FILE, expand_home

    if not expand_home(_of_form(FILE, answer)).is_file():
        raise click.BadParameter(f"there is no file {answer}.")
    return answer


def _of_form(form: str, answer: str) -> str:
    from picoclaw_fleet.config.values import FORMS

    if not re.fullmatch(form, answer):
        raise click.BadParameter(f"it {FORMS[form]}.")
    return answer


async def _can_be_used(fleet: Inventory, host: Host, yes: bool) -> bool:
    """Logs in, after the person has agreed to the host key where it is not known.

    Raises:
        HostError: The host can't be reached, or lets nobody in.
    """
    from picoclaw_fleet.cli.hosts import offer_to_trust
    from picoclaw_fleet.errors import HostError, Reason
    from picoclaw_fleet.transport import Pool

    async with Pool(fleet.find) as pool:
        try:
            await pool.connect(host)
        except HostError as error:
            if error.reason is not Reason.HOST_KEY_UNKNOWN:
                raise
            if not await offer_to_trust(fleet, host, yes):
                return False
            await pool.connect(host)
    say(f"{host.name} lets us in.")
    return True
