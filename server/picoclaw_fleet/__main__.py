"""The command `picoclaw-fleet`: picks the surface."""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
from collections.abc import MutableMapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from picoclaw_fleet.serving import Serving

_COMPLETING = "_PICOCLAW_FLEET_COMPLETE"  # set by a shell that wants to know what may follow (click's convention)
_INTERRUPTED = 128 + signal.SIGINT
_REFERENCE = re.compile(r"\$\{(?:env:)?[A-Za-z_][A-Za-z0-9_]*\}")


def main() -> None:
    """Serves MCP on stdio when a client starts it, without arguments and without a terminal; else the command line."""
    _open_closed_streams()
    _drop_references(os.environ)
    try:
        if len(sys.argv) == 1 and not sys.stdin.isatty() and _COMPLETING not in os.environ:
            from picoclaw_fleet.serving import Serving

            serve(Serving())
        else:
            from picoclaw_fleet.cli import command_line

            command_line(serve)
    except KeyboardInterrupt:
        # Ctrl-C came while modules were imported, before anybody else heeds it.
        sys.exit(_INTERRUPTED)


def serve(serving: Serving) -> None:
    """Serves MCP until the client goes, or over HTTP until a signal comes.

    Raises:
        FleetError: It can't be served as was asked for.
    """
    # What an import makes stays: looking through it for garbage, again and again, is a tenth of the start.
    gc.disable()
    import anyio

    if serving.http is None:
        from picoclaw_fleet.mcp_server.server import serve_stdio as surface
    else:
        from picoclaw_fleet.mcp_server.http import serve_http as surface
    gc.freeze()
    # Looking for garbage among what jobs are made of is 6 % of their CPU; after more than the usual 700 objects, 2 %.
    gc.set_threshold(10_000)
    gc.enable()
    sys.exit(anyio.run(surface, serving))


def _open_closed_streams() -> None:
    """Some start us without stdin, stdout or stderr: the next file that is opened would be taken for it."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            nothing = os.open(os.devnull, os.O_RDWR)
            os.dup2(nothing, number)
            if nothing != number:
                os.close(nothing)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))


def _drop_references(environ: MutableMapping[str, str]) -> None:
    """Takes away the variables that are not set: some clients pass on `${NAME}` itself where they don't know NAME."""
    for name in [name for name, value in environ.items() if _REFERENCE.fullmatch(value)]:
        del environ[name]


if __name__ == "__main__":
    main()
