"""Commands about the fleet config, and the shell's completion."""

from __future__ import annotations

import json

import click

from picoclaw_fleet.cli.options import common


@click.group()
def config() -> None:
    """Show the fleet config, its path or schema."""


@config.command()
@common
def show(config: str | None) -> None:
    """Print the fleet config as it is understood, as JSON."""
    from picoclaw_fleet.config.file import config_source

    loaded = config_source(config).current()
    click.echo(json.dumps(loaded.model_dump(mode="json", exclude_unset=True), indent=2, ensure_ascii=False))


@config.command()
@common
def path(config: str | None) -> None:
    """Print where the fleet config is looked for."""
    from picoclaw_fleet.config.file import config_path

    click.echo(config_path(config))


@config.command()
def schema() -> None:
    """Print the JSON schema of the fleet config, for editors."""
    from picoclaw_fleet.config.model import FleetConfig

    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **FleetConfig.model_json_schema()}
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes SHELL complete words.

    Commands, options and host names.

    \b
    Examples:
      picoclaw-fleet completion bash >~/.local/share/bash-completion/completions/picoclaw-fleet
      picoclaw-fleet completion zsh >~/.zfunc/_picoclaw-fleet
      picoclaw-fleet completion fish >~/.config/fish/completions/picoclaw-fleet.fish
    """
    from click.shell_completion import get_completion_class

    root = ctx.find_root()
    name = root.info_name or "picoclaw-fleet"
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(root.command, {}, name, f"_{name.replace('-', '_').upper()}_COMPLETE").source())
