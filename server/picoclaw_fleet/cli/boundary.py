"""The error boundary: whatever goes wrong becomes one message and an exit code, never a traceback."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import click

from picoclaw_fleet.cli import exit_codes
from picoclaw_fleet.cli.exit_codes import ExitCode
from picoclaw_fleet.cli.output import say, styled
from picoclaw_fleet.errors import FleetError

VERBOSITY = "picoclaw_fleet.verbosity"
"""Where in the context's `meta` it is kept how often -v was given."""


class FleetGroup(click.Group):
    """The commands, and what becomes of their errors."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Reads the command line, and prints --help and --version already; see click."""
        with _told({}):
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command; see click."""
        with _told(ctx.meta):
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result


@contextmanager
def _told(meta: Mapping[str, Any]) -> Generator[None]:
    """Tells of what goes wrong within, and makes an exit code of it; `meta` is the context's."""
    try:
        yield
    except (KeyboardInterrupt, click.Abort) as error:
        say("Interrupted.")
        raise click.exceptions.Exit(ExitCode.INTERRUPTED) from error
    except (click.ClickException, click.exceptions.Exit):
        raise
    except Exception as error:
        cause = innermost(error)
        if isinstance(cause, BrokenPipeError):
            raise cause from error
        raise click.exceptions.Exit(_report(cause, verbose=VERBOSITY in meta)) from error


def innermost(error: BaseException) -> BaseException:
    """The error itself: what passes through a task group comes out wrapped."""
    while isinstance(error, BaseExceptionGroup):
        error = cast("BaseExceptionGroup[BaseException]", error).exceptions[0]
    return error


def _report(error: BaseException, *, verbose: bool) -> ExitCode:
    label = styled("Error:", err=True, fg="red", bold=True)
    if isinstance(error, FleetError):
        say(f"{label} {error}")
        return exit_codes.of_error(error)
    if verbose:
        say("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.filename is None:
        say(f"{label} there is no room for what this prints: the disk is full that it goes to.")
        # What is left of it would be tried once more at the end of the process, and fail as loudly.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.BROKEN
    said = " ".join(str(error).split())
    say(f"{label} something unexpected: {type(error).__name__}{f': {said}' if said else ''}.")
    if not verbose:
        say("Run it again with -v to see where.")
    return ExitCode.BROKEN
