"""The command that makes a bearer token for serving over HTTP."""

from __future__ import annotations

import json
import re

import click

from picoclaw_fleet.bearer_token import SCOPES, digest_of, new_token
from picoclaw_fleet.cli.options import json_option
from picoclaw_fleet.cli.output import print_json, say
from picoclaw_fleet.errors import UsageError


@click.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    type=click.Choice(SCOPES),
    multiple=True,
    default=("dispatch",),
    show_default=True,
    help="read: look. dispatch: give work to ready hosts too. admin: deploy, tear down, see everyone's jobs too.",
)
@json_option
def token(name: str, scopes: tuple[str, ...], as_json: bool) -> None:
    """Make a token for a client of `serve --http`, called NAME.

    The token is shown now and never again: it goes to the client, and the line with its hash into the fleet config.
    """
    from picoclaw_fleet.cli.documents import MadeToken, TokenEntry
    from picoclaw_fleet.config.values import FORMS, NAME

    if re.fullmatch(NAME, name) is None:
        raise UsageError(f"A token's name {FORMS[NAME]}.")
    made = new_token()
    entry = TokenEntry(name=name, sha256=digest_of(made), scopes=sorted(set(scopes), key=SCOPES.index))
    if as_json:
        print_json(MadeToken(token=made, entry=entry))
        return
    say("The token; the client sends it as `Authorization: Bearer TOKEN`:")
    click.echo(made)
    say('Add this to the fleet config under "http", "tokens":')
    say(json.dumps(entry.model_dump()))
