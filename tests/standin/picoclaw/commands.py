"""The commands beside `agent`."""

from __future__ import annotations

import os

from release import FIRST, LATEST, LOGO, RUNNING, CommandError
from settings import config_path, default_config, load_config, save_config, workspace_of
from streams import out, write_text

TEMPLATES = [
    *("AGENT.md", "SOUL.md", "USER.md", "memory/MEMORY.md", "skills/github/SKILL.md"),
    *(["IDENTITY.md"] if FIRST else []),
]


def version_command(_args: list[str]) -> int:
    out(f"{LOGO} picoclaw {RUNNING}{'' if FIRST else ' (git: 2992eccb)'}\n  Go: go1.25.7\n")
    return 0


def onboard_command(_args: list[str]) -> int:
    """Writes a configuration without keys and overwrites the workspace's templates, memory included."""
    path = config_path()
    exists = os.path.exists(path)
    if FIRST and exists and not may_overwrite(path):
        out("Aborted.\n")
        return 0
    try:
        config = load_config() if exists and not FIRST else default_config()
    except CommandError as failure:
        out(f"Error loading existing config: {failure}\n")
        return 1
    save_config(path, config)
    for name in TEMPLATES:
        write_text(os.path.join(workspace_of(config), name), f"# {name}\n\nTemplate of the stand-in.\n")
    out("" if FIRST else "\n", f"{LOGO} picoclaw is ready!\n\nNext steps:\n  1. Add your API key to {path}\n")
    return 0


def may_overwrite(path: str) -> bool:
    """Asks on stdin, of which it takes one line and no byte more."""
    out(f"Config already exists at {path}\nOverwrite? (y/n): ")
    with open(0, "rb", buffering=0, closefd=False) as stdin:
        return stdin.readline().strip() == b"y"


def status_command(_args: list[str]) -> int:
    """Prints the status. The exit status is 0 whatever it finds, and an old configuration is migrated."""
    try:
        config = load_config()
    except CommandError as failure:
        out(f"Error loading config: {failure}\n")
        return 0
    path, workspace, defaults = config_path(), workspace_of(config), config["agents"]["defaults"]
    out(f"{LOGO} picoclaw Status\nVersion: {RUNNING}\n\n")
    out(f"Config: {path} {'✓' if os.path.exists(path) else '✗'}\n")
    out(f"Workspace: {workspace} {'✓' if os.path.exists(workspace) else '✗'}\n")
    if os.path.exists(path):
        out(f"Model: {defaults['model' if FIRST else 'model_name']}\n")
        with_key = {name for name, entry in config.get("providers", {}).items() if entry.get("api_key")}
        with_key |= {entry["model"].split("/")[0] for entry in config.get("model_list", []) if entry.get("api_keys")}
        for label in ("OpenRouter", "Anthropic", "OpenAI") if FIRST or LATEST else ():
            out(f"{label} API: {'✓' if label.lower() in with_key else 'not set'}\n")
    return 0
