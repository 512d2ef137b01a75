"""The command that serves MCP: on stdin and stdout for one client, or over HTTP for many."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from picoclaw_fleet.cli.options import common
from picoclaw_fleet.errors import UsageError
from picoclaw_fleet.serving import Serving

Serve = Callable[[Serving], None]
"""Serves MCP as was asked for; the other surface, which this one doesn't know."""

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def serve_command(serve: Serve) -> click.Command:
    """Makes the command `serve`."""

    @click.command("serve")
    @click.option("--http", metavar="HOST:PORT", help="Serve Streamable HTTP at /mcp instead of stdin and stdout.")
    @click.option("--read-only", is_flag=True, help="Offer only the tools that change nothing.")
    @click.option("--tools", metavar="NAME,...", multiple=True, help="Offer only these tools.")
    @click.option("--tls-cert", metavar="FILE", type=_FILE, help="Certificate and chain, PEM; with --http.")
    @click.option("--tls-key", metavar="FILE", type=_FILE, help="The certificate's private key, PEM.")
    @click.option(
        "--audit",
        metavar="FILE",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Add a line of JSON for each call: who did what. Over HTTP there always is such a file, by default "
        "audit.jsonl in the state folder.",
    )
    @click.option("--audit-tasks", is_flag=True, help="Tell the text of tasks there too.")
    @common
    def command(
        http: str | None,
        read_only: bool,
        tools: tuple[str, ...],
        tls_cert: Path | None,
        tls_key: Path | None,
        audit: Path | None,
        audit_tasks: bool,
        config: str | None,
    ) -> None:
        """Serve MCP on stdin and stdout, or over HTTP.

        Over HTTP each client needs a token, see `picoclaw-fleet token`; only on loopback it goes without. SIGTERM and
        SIGINT end it within seconds; jobs go on.
        """
        if http is None and (tls_cert or tls_key):
            raise UsageError("--tls-cert and --tls-key are for --http.")
        if audit_tasks and audit is None and http is None:
            raise UsageError("--audit-tasks needs --audit FILE.")
        names = tuple(name.strip() for given in tools for name in given.split(",") if name.strip())
        serve(
            Serving(
                config=config,
                http=http,
                read_only=read_only,
                tools=names,
                tls_cert=tls_cert,
                tls_key=tls_key,
                audit=audit,
                audit_tasks=audit_tasks,
            )
        )

    return command
