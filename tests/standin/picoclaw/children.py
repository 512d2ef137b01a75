"""Processes that a run starts, in the groups and sessions in which each version starts them."""

from __future__ import annotations

from release import FIRST
from streams import append_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]


def start_children(knobs: Json, workspace: str) -> str:
    """Starts what the knobs ask for and returns what those printed that were waited for."""
    from subprocess import DEVNULL, PIPE, STDOUT, Popen

    waited = not knobs.get("background")
    own_session = not FIRST and knobs.get("pty", False)
    commands = knobs.get("exec", [])
    output = ""
    for command in [commands] if isinstance(commands, str) else commands:
        child = Popen(
            ["sh", "-c", command],
            cwd=workspace,
            stdin=DEVNULL,
            stdout=PIPE if waited else DEVNULL,
            stderr=STDOUT,
            start_new_session=own_session,
            process_group=None if FIRST or own_session else 0,
        )
        record(child.pid, knobs)
        output += child.communicate()[0].decode("utf-8", "replace") if waited else ""
    if "clean_env_child" in knobs:
        # In the group of this process, so that setsid need not fork and the pid stays.
        command = ["env", "-i", "setsid", "sleep", str(knobs["clean_env_child"])]
        record(Popen(command, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL).pid, knobs)
    return output


def record(pid: int, knobs: Json) -> None:
    if "pids" in knobs:
        append_text(knobs["pids"], f"{pid}\n")
