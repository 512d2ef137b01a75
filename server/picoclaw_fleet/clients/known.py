"""The clients we know, as they were in November 2026."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from picoclaw_fleet.clients.client import Client
from picoclaw_fleet.clients.launch import SCRIPT
from picoclaw_fleet.config.values import expand_home
from picoclaw_fleet.errors import UsageError
from picoclaw_fleet.text.nearest import nearest

CLIENTS = ("claude-code", "claude-desktop", "cursor", "vscode", "codex", "gemini", "zed", "openclaw")


def client_named(name: str, environ: Mapping[str, str] = os.environ) -> Client:
    """Finds a client.

    Args:
        name: One of CLIENTS.
        environ: Some clients let variables move their files.

    Raises:
        UsageError: We don't know it; the nearest names are in the text.
    """
    by_name = {client.name: client for client in _clients(environ)}
    if name not in by_name:
        near = nearest(name, CLIENTS)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Known are {', '.join(CLIENTS)}."
        raise UsageError(f"No client is called {name!r}.", next_step=hint)
    return by_name[name]


def _clients(environ: Mapping[str, str]) -> tuple[Client, ...]:
    home = expand_home("~")
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    applications = home / "Library/Application Support" if sys.platform == "darwin" else config
    claude = Path(environ.get("CLAUDE_CONFIG_DIR") or home)
    codex = Path(environ.get("CODEX_HOME") or home / ".codex")
    openclaw = Path(environ.get("OPENCLAW_STATE_DIR") or home / ".openclaw")
    return (
        Client(
            name="claude-code",
            title="Claude Code",
            file=claude / ".claude.json",
            project_file=".mcp.json",
            servers=("mcpServers",),
            fixed={"type": "stdio"},
            passes_environment=True,
            add=f"claude mcp add -s user {SCRIPT} --",
            then="Start Claude Code anew; it rewrites this file while it runs. `/mcp` shows the server.",
        ),
        Client(
            name="claude-desktop",
            title="Claude Desktop",
            file=applications / "Claude/claude_desktop_config.json",
            servers=("mcpServers",),
            then="Quit Claude Desktop completely and start it again.",
        ),
        Client(
            name="cursor",
            title="Cursor",
            file=home / ".cursor/mcp.json",
            project_file=".cursor/mcp.json",
            servers=("mcpServers",),
            reference="${env:NAME}",
            then="Switch the server on under Settings, MCP.",
        ),
        Client(
            name="vscode",
            title="VS Code",
            file=applications / "Code/User/mcp.json",
            project_file=".vscode/mcp.json",
            servers=("servers",),
            fixed={"type": "stdio"},
            reference="${env:NAME}",
            then="Run `MCP: List Servers` in the command palette and start it.",
        ),
        Client(
            name="codex",
            title="Codex",
            file=codex / "config.toml",
            project_file=".codex/config.toml",
            servers=("mcp_servers",),
            style="TOML",
            forwards="env_vars",
            add=f"codex mcp add {SCRIPT} --",
            then="Start Codex anew. `/mcp` shows the server.",
        ),
        Client(
            name="gemini",
            title="Gemini CLI",
            file=home / ".gemini/settings.json",
            project_file=".gemini/settings.json",
            servers=("mcpServers",),
            # In ms, as long as it grants a call anyway; without it `gemini mcp list` gives up connecting after 5 s.
            fixed={"timeout": 600_000},
            # It passes its variables on, but for those with KEY, AUTH and the like in their names.
            reference="$NAME",
            add=f"gemini mcp add -s user {SCRIPT}",
            then="Start Gemini CLI anew, in a trusted folder. `/mcp` shows the server.",
        ),
        Client(
            name="zed",
            title="Zed",
            file=config / "zed/settings.json",
            project_file=".zed/settings.json",
            servers=("context_servers",),
            fixed={"source": "custom"},
            then="Zed starts the server by itself; the agent panel's settings show it.",
        ),
        Client(
            name="openclaw",
            title="OpenClaw",
            file=Path(environ.get("OPENCLAW_CONFIG_PATH") or openclaw / "openclaw.json"),
            servers=("mcp", "servers"),
            reference="${NAME}",
            add=f"openclaw mcp add {SCRIPT} --command",
            then=f"Check it with: openclaw mcp doctor {SCRIPT} --probe",
        ),
    )
