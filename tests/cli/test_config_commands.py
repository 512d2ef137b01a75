"""config, clients and completion."""

from __future__ import annotations

import json
import shutil

import anyio
import jsonschema
import pytest
from tests.cli.terminal import Shell, terminal
from tests.embedded_fleet import COMMAND, EmbeddedFleet

from picoclaw_fleet.bearer_token import digest_of
from picoclaw_fleet.clients import CLIENTS


async def test_the_config_is_shown_as_it_is_understood_and_fits_its_schema(fleet: EmbeddedFleet, shell: Shell) -> None:
    assert (await shell("config", "path")).out == f"{fleet.config}\n"
    shown = (await shell("config", "show")).data
    assert [host["name"] for host in shown["hosts"]] == ["ada", "bob"]
    schema = (await shell("config", "schema")).data
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(  # pyright: ignore[reportUnknownMemberType]
        json.loads(fleet.config.read_text())
    )


async def test_a_token_is_made_with_the_entry_for_the_config(shell: Shell) -> None:
    made = (await shell("token", "ci", "--scope", "read", "--json")).data
    assert made["entry"] == {"name": "ci", "sha256": digest_of(made["token"]), "scopes": ["read"]}


async def test_a_client_is_told_of_the_command_that_runs_and_of_this_fleet(fleet: EmbeddedFleet, shell: Shell) -> None:
    agent, key = "/agent", "sk-ant-0123456789"
    shown = await shell("clients", "show", "cursor", SSH_AUTH_SOCK=agent, ANTHROPIC_API_KEY=key)
    entry = shown.data["mcpServers"]["picoclaw-fleet"]
    as_json = await shell("clients", "show", "cursor", "--json", SSH_AUTH_SOCK=agent, ANTHROPIC_API_KEY=key)
    assert as_json.data["entry"] == entry
    assert entry["command"] == COMMAND
    assert entry["env"] == {
        "PICOCLAW_FLEET_CONFIG": str(fleet.config),
        "PICOCLAW_FLEET_STATE_DIR": str(fleet.state),
        "SSH_AUTH_SOCK": "${env:SSH_AUTH_SOCK}",
        "ANTHROPIC_API_KEY": "${env:ANTHROPIC_API_KEY}",
    }


async def test_installing_writes_the_file_and_names_the_backup(fleet: EmbeddedFleet, shell: Shell) -> None:
    file = fleet.home / ".vscode" / "mcp.json"
    file.parent.mkdir()
    file.write_text("{ /* mine */ }")
    done = await shell("clients", "install", "vscode", "--project")
    assert (done.code, done.out) == (0, f"{file}\n")
    (backup,) = file.parent.glob("*.bak")
    assert str(backup) in done.err
    assert "/* mine */" in file.read_text()
    again = await shell("clients", "install", "vscode", "--project")
    assert "nothing was changed" in again.err
    listed = (await shell("clients", "show", "--json")).data["clients"]
    assert [client["client"] for client in listed] == list(CLIENTS)
    assert {client["state"] for client in listed} == {"-"}


async def test_the_help_names_all_clients(shell: Shell) -> None:
    text = " ".join((await shell("clients", "--help")).out.split())
    assert f"Known are {', '.join(CLIENTS[:-1])} and {CLIENTS[-1]}." in text


async def test_an_unknown_client_is_wrong_usage(shell: Shell) -> None:
    done = await shell("clients", "install", "vscod")
    assert done.code == 2
    assert "Did you mean vscode" in done.err


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
async def test_what_completes_words_is_printed_and_the_shell_can_read_it(shell: Shell, name: str) -> None:
    done = await shell("completion", name)
    assert "_PICOCLAW_FLEET_COMPLETE" in done.out
    if shutil.which(name):
        await anyio.run_process([name, "-n"], input=done.out.encode())


async def test_host_names_are_completed(fleet: EmbeddedFleet) -> None:
    asked = {"_PICOCLAW_FLEET_COMPLETE": "bash_complete", "COMP_WORDS": "picoclaw-fleet status a", "COMP_CWORD": "2"}
    async with terminal(fleet, **asked) as screen:
        assert await screen.end() == 0
    assert screen.screen == "plain,ada\n"


async def test_asking_for_completions_creates_no_config(fleet: EmbeddedFleet) -> None:
    fleet.config.unlink()
    asked = {"_PICOCLAW_FLEET_COMPLETE": "bash_complete", "COMP_WORDS": "picoclaw-fleet status a", "COMP_CWORD": "2"}
    async with terminal(fleet, **asked) as screen:
        assert await screen.end() == 0
    assert not screen.screen.strip()
    assert not fleet.config.exists()
