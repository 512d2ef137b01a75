"""Commands that tell MCP clients of this server: clients show and clients install."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from picoclaw_fleet.cli.options import common, json_option
from picoclaw_fleet.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from picoclaw_fleet.clients import Client


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    from picoclaw_fleet.clients import CLIENTS

    return [name for name in CLIENTS if name.startswith(incomplete)]


_project = click.option("--project", is_flag=True, help="The file of the project in this folder, not the user's own.")


@click.group()
def clients() -> None:
    """Tell MCP clients of this server.

    Known are claude-code, claude-desktop, cursor, vscode, codex, gemini, zed and openclaw.
    """


@clients.command()
@click.argument("name", required=False, shell_complete=_complete)
@_project
@json_option
@common
def show(name: str | None, project: bool, as_json: bool, config: str | None) -> None:
    """Print what client NAME has to be told, and where; without NAME, which clients there are.

    \b
    Examples:
      picoclaw-fleet clients show
      picoclaw-fleet clients show codex
    """
    from picoclaw_fleet.clients import client_named, launch_of, snippet

    if name is None:
        _show_all(as_json=as_json)
        return
    client, launch = client_named(name), launch_of(config)
    file, notes, own = _file(client, project=project), client.notes(launch), client.own_command(launch)
    if as_json:
        from picoclaw_fleet.cli.documents import ClientEntry

        entry = client.entry(launch)
        print_json(
            ClientEntry(
                client=client.name, file=str(file), path=list(client.path), entry=entry, command=own, notices=notes
            )
        )
        return
    say(f"For {client.title}, in {file}:")
    click.echo(snippet(client, launch), nl=False)
    if own:
        say(f"Or: {own}")
    _say_notes(notes)


@clients.command()
@click.argument("name", shell_complete=_complete)
@_project
@common
def install(name: str, project: bool, config: str | None) -> None:
    """Write this server into the file of client NAME; all else in there stays, and a backup is made beside it.

    \b
    Examples:
      picoclaw-fleet clients install claude-code
      picoclaw-fleet clients install vscode --project
    """
    from picoclaw_fleet import clients

    client, launch = clients.client_named(name), clients.launch_of(config)
    done = clients.install(client, _file(client, project=project), launch)
    click.echo(done.file)
    if done.changed:
        say(f"Written. {client.then}")
        if done.backup:
            say(f"As it was before: {done.backup}")
    else:
        say("It is all there already; nothing was changed.")
    _say_notes(client.notes(launch))


def _show_all(*, as_json: bool) -> None:
    from picoclaw_fleet.cli.documents import ClientList, ClientState
    from picoclaw_fleet.clients import CLIENTS, client_named, installed_entry
    from picoclaw_fleet.errors import UsageError

    rows: list[ClientState] = []
    for client in map(client_named, CLIENTS):
        try:
            state = "installed" if installed_entry(client, client.file) is not None else "-"
        except UsageError:
            state = "unreadable"
        rows.append(ClientState(client=client.name, state=state, file=str(client.file)))
    if as_json:
        print_json(ClientList(clients=rows))
    else:
        print_table(("client", "state", "file"), [(row.client, row.state, row.file) for row in rows], state=1)


def _file(client: Client, *, project: bool) -> Path:
    from picoclaw_fleet.errors import UsageError

    if not project:
        return client.file
    if not client.project_file:
        raise UsageError(f"{client.title} has no file for a project.", next_step="Leave --project out.")
    return Path.cwd() / client.project_file


def _say_notes(notes: list[str]) -> None:
    for note in notes:
        say(f"Note: {note}")
