"""How MCP is to be served: what the command line asks for, and the server goes by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Serving:
    """One way of serving.

    Attributes:
        config: The fleet config's path; None for where it is looked for.
        http: HOST:PORT to listen on; None to serve on stdin and stdout.
        read_only: Whether to offer only the tools that change nothing.
        tools: The names of the tools to offer; empty for all.
        tls_cert: The file of the certificate and its chain; None for plain HTTP.
        tls_key: The file of its private key.
        audit: The file that tells who did what. None: over HTTP the one that the config names, else one in the state
            folder; on stdio none.
        audit_tasks: Whether it tells the text of tasks too.
    """

    config: str | None = None
    http: str | None = None
    read_only: bool = False
    tools: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    audit: Path | None = None
    audit_tasks: bool = False
