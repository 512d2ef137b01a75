"""The command `picoclaw-fleet`: picks the surface."""

from __future__ import annotations

import sys

import anyio


def main() -> None:
    """Serves MCP on stdio when a client starts it, without arguments and without a terminal; else the command line."""
    if len(sys.argv) == 1 and not sys.stdin.isatty():
        serve(None)
    else:
        from picoclaw_fleet.cli import command_line

        command_line(serve)


def serve(config: str | None) -> None:
    """Serves MCP on stdio until the client goes.

    Args:
        config: The fleet config's path; None for where it is looked for.
    """
    from picoclaw_fleet.mcp_server.server import serve_stdio

    anyio.run(serve_stdio, config)


if __name__ == "__main__":
    main()
