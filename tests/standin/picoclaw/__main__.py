"""A stand-in for PicoClaw: what the tests and the demo put on their hosts in place of the Go binary.

It behaves like one of three releases, 0.1.2, 0.2.4 and 0.2.9, as they look to a program that starts them over ssh. The
version is the one in release.py, which `standin.install` sets in the copy that it makes; the environment variable
FAKE_PICOCLAW_VERSION goes before it. knobs.py has the table of what a test can ask for.

It is started thousands of times, so it imports little, and late.
"""

from __future__ import annotations

import os
import sys

from agent import agent_command, unknown_flag
from commands import onboard_command, status_command, version_command
from release import CREATING, FIRST, LATEST, LOADING, CommandError
from streams import err, out, print_banner

HEAD = "Usage: picoclaw <command>\n\nCommands:" if FIRST else "Usage:\n  picoclaw [command]\n\nAvailable Commands:"
USAGE = f"{HEAD}\n  agent\n  onboard\n  status\n  version\n\n"
HELP = "Run 'picoclaw --help' for usage.\n"
COMMANDS = {
    "agent": agent_command,
    "onboard": onboard_command,
    "status": status_command,
    **dict.fromkeys(["version", "--version", "-v"] if FIRST else ["version", "v"], version_command),
}


def main(args: list[str]) -> int:
    """Runs one command; returns its exit status."""
    no_color = LATEST and "--no-color" in args
    if no_color:
        args = [arg for arg in args if arg != "--no-color"]
    print_preamble(plain=LATEST and bool(no_color or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"))
    if not args or args[0] in ("-h", "--help", "help"):
        out(USAGE)
        return 1 if FIRST and not args else 0
    try:
        if args[0] not in COMMANDS:
            raise unknown(args[0])
        return COMMANDS[args[0]](args[1:])
    except CommandError as failure:
        report(failure)
        return 1


def print_preamble(*, plain: bool) -> None:
    if not FIRST:
        print_banner(plain=plain)
    zone = os.environ.get("TZ")
    if LATEST and zone:
        out(f"TZ environment: {zone}\nZONEINFO environment: {os.environ.get('ZONEINFO', '')}\n")
        out(f"Time zone loaded successfully: {zone}\n")


def unknown(name: str) -> CommandError:
    if FIRST:
        return CommandError(f"Unknown command: {name}")
    if name.startswith("-"):
        return unknown_flag(name)
    return CommandError(f'unknown command "{name}" for "picoclaw"', usage="" if LATEST else HELP)


def report(failure: CommandError) -> None:
    """Prints an error as this version words it: on stdout in 0.1.2, later on stderr."""
    if FIRST and failure.stage in (LOADING, CREATING):
        out(f"Error {failure.stage}: {failure}\n")
    elif FIRST:
        out(f"Error: {failure}\n" if failure.stage else f"{failure}\n{USAGE}")
    else:
        err(f"Error: error {failure.stage}: {failure}\n" if failure.stage else f"Error: {failure}\n")
        err(USAGE if failure.usage is None else failure.usage)


if __name__ == "__main__":
    # All is written by now, and taking Python down would be a sixth of what a run costs.
    os._exit(main(sys.argv[1:]))
