"""The environment that we were started with: clients often pass on little more than HOME and PATH."""

from __future__ import annotations

import platform
import socket
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from picoclaw_fleet import __version__
from picoclaw_fleet.clients.launch import AGENT_VARIABLE
from picoclaw_fleet.doctor.finding import Finding, error, ok, warning
from picoclaw_fleet.text.wording import counted

_AGENT_SECONDS = 3.0
_LIST_KEYS = b"\0\0\0\1\x0b"
_KEYS = 12


def versions() -> Iterator[Finding]:
    """Which versions of what runs here."""
    parts = [f"{name} {version(name)}" for name in ("mcp", "asyncssh")]
    system = f"{platform.system()} {platform.release()}"
    yield ok(
        "versions", f"picoclaw-fleet {__version__}, Python {platform.python_version()}, {', '.join(parts)}, {system}"
    )


def variables(environ: Mapping[str, str]) -> Iterator[Finding]:
    """The variables that nothing works without."""
    home = environ.get("HOME", "")
    if not home:
        yield error("environment", "HOME is not set, so no key, known_hosts or config is found.", "Set HOME.")
    elif not Path(home).is_dir():
        yield error("environment", f"HOME is {home}, which is no folder.", "Set HOME to your home directory.")
    else:
        yield ok("environment", f"HOME is {home}")
    if not environ.get("PATH"):
        yield warning("environment", "PATH is not set; a ProxyCommand of ~/.ssh/config is not found.", "Set PATH.")
    if sys.flags.utf8_mode == 0 and sys.getfilesystemencoding().lower() != "utf-8":
        yield warning("environment", "The locale is not UTF-8.", "Set LANG to one that is, such as C.UTF-8.")


def agent(environ: Mapping[str, str], *, needed: bool) -> Iterator[Finding]:
    """The ssh-agent.

    Args:
        environ: The environment.
        needed: Whether there are hosts whose keys only an agent can have.
    """
    path = environ.get(AGENT_VARIABLE, "")
    if not path:
        if needed:
            yield warning(
                "agent",
                f"{AGENT_VARIABLE} is not set, and some hosts have no ssh_key that can be used without an ssh-agent.",
                "Start an ssh-agent, or name keys under ssh_key. Where a client starts the server, "
                "`picoclaw-fleet clients install` writes the variable into its configuration.",
            )
        else:
            yield ok("agent", "There is no ssh-agent, and none is needed")
        return
    try:
        held = _keys_held(path)
    except OSError as problem:
        yield warning(
            "agent",
            f"{AGENT_VARIABLE} is {path}, where no ssh-agent answers: {problem.strerror or problem}.",
            "Start an ssh-agent anew, and the client too that was started with the old one.",
        )
        return
    if held or not needed:
        yield ok("agent", f"The ssh-agent at {path} holds {counted(held, 'key')}")
    else:
        yield warning("agent", f"The ssh-agent at {path} holds no keys.", "Add one: ssh-add")


def _keys_held(path: str) -> int:
    """How many keys an agent holds (draft-ietf-sshm-ssh-agent: request 11, answer 12 with a count)."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_AGENT_SECONDS)
        connection.connect(path)
        connection.sendall(_LIST_KEYS)
        answer = b""
        while len(answer) < 9 and (piece := connection.recv(9 - len(answer))):
            answer += piece
    if len(answer) < 9 or answer[4] != _KEYS:
        raise OSError(None, "it does not speak the agent's protocol, or is locked")
    return int.from_bytes(answer[5:9], "big")
