"""A stand-in for PicoClaw, and how tests put it on a host. picoclaw/knobs.py has the table of knobs.

Its source is the folder picoclaw; what a host gets is one executable file made of it.
"""

from __future__ import annotations

import json
import marshal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parent / "picoclaw"
LOADER = Path(__file__).parent / "loader.py"
API_KEY = "sk-standin-0123456789"
MODEL = "standin-model"


@dataclass(frozen=True, slots=True)
class Run:
    """One line of a log: a task that reached the agent."""

    time_ns: int
    pid: int
    task_sha256: str
    session: str
    workspace: Path


@cache
def executable(version: str = "0.2.9", interpreter: Path | None = None) -> bytes:
    """Returns the program as one executable file, a Python script.

    Args:
        version: What the program says it is; it behaves as the newest of 0.1.2, 0.2.4 and 0.2.9 that is not newer.
        interpreter: Python for the first line; the one that runs the tests when None. Hosts of users who may not
            read that one need another, such as /usr/bin/python3.
    """
    modules: dict[str, bytes | str] = {}
    for source in sorted(SOURCE.glob("*.py")):
        text = source.read_text().replace('VERSION = "0.2.9"', f'VERSION = "{version}"')
        # Another Python than this one does not know the compiled form.
        modules[source.stem] = text if interpreter else marshal.dumps(compile(text, source.name, "exec"))
    # -S and -E: without site-packages and PYTHON* variables it starts in a fifth of the time.
    first = f"#!{interpreter or Path(sys.executable).resolve()} -SE"
    return f"{first}\nMODULES = {modules!a}\n{LOADER.read_text()}".encode()


def install(
    home: Path,
    *,
    version: str = "0.2.9",
    knobs: Mapping[str, object] | None = None,
    configured: bool = True,
    api_base: str = "",
    interpreter: Path | None = None,
) -> Path:
    """Puts the stand-in on a host.

    Args:
        home: The host's home directory.
        version: See `executable`.
        knobs: What its runs do; a change of them is `set_knobs`.
        configured: Whether the host's owner has settings and a key in ~/.picoclaw.
        api_base: Model server in those settings; "" means answers by script.
        interpreter: See `executable`.

    Returns:
        The executable, home/.local/bin/picoclaw.
    """
    binary = home / ".local/bin/picoclaw"
    binary.parent.mkdir(parents=True, exist_ok=True)
    incoming = binary.with_name(".picoclaw.incoming")
    incoming.write_bytes(executable(version, interpreter))
    incoming.chmod(0o755)
    incoming.replace(binary)
    set_knobs(home, **(knobs or {}))
    if configured:
        configure(home, version=version, api_base=api_base)
    return binary


def set_knobs(home: Path, **knobs: object) -> None:
    """Replaces all knobs at once; a run that has begun keeps those that it found. Bytes become Latin-1 text."""
    incoming = home / ".fake-picoclaw.incoming"
    incoming.write_text(json.dumps(knobs, default=_as_text))
    incoming.replace(home / ".fake-picoclaw.json")


def _as_text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def configure(home: Path, *, version: str = "0.2.9", api_base: str = "") -> None:
    """Writes the settings that an owner of that version would have, in ~/.picoclaw."""
    release = tuple(int(part) for part in version.split("-")[0].split("."))
    server = {"api_base": api_base} if api_base else {}
    if release < (0, 2, 4):
        defaults = {"provider": "openai", "model": MODEL}
        settings = {"agents": {"defaults": defaults}, "providers": {"openai": {"api_key": API_KEY, **server}}}
    else:
        entry = {"model_name": MODEL, "model": f"openai/{MODEL}", "enabled": True, **server}
        schema = 3 if release >= (0, 2, 9) else 1
        settings = {"version": schema, "agents": {"defaults": {"model_name": MODEL}}, "model_list": [entry]}
        _write_private(home / ".picoclaw/.security.yml", f'model_list:\n  "{MODEL}:0":\n    api_keys: ["{API_KEY}"]\n')
    _write_private(home / ".picoclaw/config.json", json.dumps(settings))


def _write_private(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.touch(0o600)
    path.write_text(text)


def runs(log: Path) -> list[Run]:
    """Returns the runs that the knob `log` recorded, in the order in which they began; none when there is no file."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [_run(line) for line in lines]


def _run(line: str) -> Run:
    time_ns, pid, digest, session, workspace = line.split(" ", 4)
    return Run(int(time_ns), int(pid), digest, session, Path(workspace))
