"""`picoclaw agent`: one task, or a dialogue on stdin."""

from __future__ import annotations

import os
import sys

from model import choose_model
from release import FIRST, LATEST, LOGO, CommandError
from run import Run
from settings import load_config, log_level, workspace_of
from streams import log, out

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    # The module around it makes an enum, which takes a third of the time of a whole run.
    import _signal as signal

VALUED = {"-m": "--message", "-s": "--session"} | ({} if FIRST else {"--model": "--model"})


def agent_command(args: list[str]) -> int:
    die_of_signals()
    flags = parse_flags(args)
    config = load_config()
    log.configure(log_level(config))
    log.path = os.environ.get("PICOCLAW_LOG_FILE", "") if LATEST else ""
    if flags["--debug"]:
        log.configure("debug")
        out("🔍 Debug mode enabled\n")
    model = choose_model(config, flags["--model"])
    workspace = workspace_of(config)
    for name in ("sessions", "memory", "state"):
        os.makedirs(os.path.join(workspace, name), 0o755 if FIRST or name != "state" else 0o700, exist_ok=True)
    log.write("info", "Agent initialized tools_count=13")
    restricted = config["agents"]["defaults"]["restrict_to_workspace"]
    run = Run(model, workspace, flags["--session"] or "cli:default", restricted=restricted)
    if flags["--message"]:
        return run.work_on(os.fsencode(flags["--message"]).decode("utf-8", "surrogateescape"))
    return converse(run)


def parse_flags(args: list[str]) -> dict[str, str]:
    """Returns the flags by their long names. 0.1.2 ignores what it does not know, later versions refuse it."""
    flags = dict.fromkeys(["--message", "--session", "--model", "--debug"], "")
    waiting = list(args)
    while waiting:
        flag, equals, value = waiting.pop(0).partition("=")
        flag = VALUED.get(flag, flag)
        if flag in VALUED.values() and (equals or waiting):
            flags[flag] = value if equals else waiting.pop(0)
        elif flag in ("-d", "--debug"):
            flags["--debug"] = "true"
        elif not FIRST and flag.startswith("-"):
            raise unknown_flag(flag)
        elif not FIRST:
            raise CommandError(f'unknown command "{flag}" for "picoclaw agent"')
    return flags


def unknown_flag(flag: str) -> CommandError:
    words = f"unknown flag: {flag}" if flag.startswith("--") else f"unknown shorthand flag: {flag[1:2]!r} in {flag}"
    return CommandError(words, usage=None)


def die_of_signals() -> None:
    """Lets signals kill at once, as they kill a Go program without handlers."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def converse(run: Run) -> int:
    out(f"{LOGO} Interactive mode (Ctrl+C to exit)\n\n")
    for line in sys.stdin:
        task = line.strip()
        if task in ("exit", "quit"):
            break
        if task:
            run.work_on(task)
    out("\nGoodbye!\n")
    return 0
