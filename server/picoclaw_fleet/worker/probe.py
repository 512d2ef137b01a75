"""The probe: one round trip that reads a host's state and writes nothing there."""

from __future__ import annotations

import re
import shlex
import time
from dataclasses import dataclass, field, replace
from enum import StrEnum
from importlib import resources
from typing import Any

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.text.plain_text import clean
from picoclaw_fleet.text.redaction import Redactor
from picoclaw_fleet.transport import Pool
from picoclaw_fleet.worker import host_number
from picoclaw_fleet.worker.answer import complaint
from picoclaw_fleet.worker.contract import RUNNER_NAME, new_nonce
from picoclaw_fleet.worker.settings import secrets_of

FULL_LOOK_SECONDS = 30.0
"""How long disk, version and readiness are believed before they are looked at again."""

ANSWER_SECONDS = 30.0
"""How long a probe may take once the host is connected: 20 s are PicoClaw's own, on the first look."""

_VERSION = re.compile(r"picoclaw v?((?:\d|dev)\S{0,60})")
# It becomes part of command lines there.
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,254}")
_LONGEST_WORD = 64
_SH_LIKE = frozenset({"sh", "ash", "bash", "dash", "ksh", "mksh"})
_OPEN_ENDS = frozenset({"do", "then", "else", "in", "{", ";;", "&", "|", "&&", "||"})

_Said = dict[str, list[str]]


def _one_line(script: str) -> str:
    """A script without its comments and in one line, since csh takes each line for a command, even in quotes."""
    lines = [line.strip() for line in script.splitlines()]
    commands = [line for line in lines if line and not line.startswith("#")]
    return "".join(line + (" " if line.split()[-1] in _OPEN_ENDS else " ; ") for line in commands)


_SCRIPT = resources.files("picoclaw_fleet.worker").joinpath("probe.sh").read_text(encoding="utf-8")
_FULL_LOOK = _one_line(_SCRIPT)
_BRIEF_LOOK = _one_line(_SCRIPT.partition("# ---")[0]) + "finish"


class PicoclawState(StrEnum):
    """What is known of PicoClaw on a host."""

    READY = "ready"
    INSTALLED = "installed"
    MISSING = "missing"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Facts:
    """What one probe saw. Sizes in MB.

    Attributes:
        name: The host's own name (`uname -n`), under which our files lie there.
        boot_id: The kernel's id of this boot; "-" where there is none.
        load: The load average of the last minute.
        memory_total_mb: None where the host doesn't tell.
        memory_free_mb: MemAvailable; None where the host doesn't tell.
        running: Jobs that hold a slot there, whoever started them.
        has_runner: True when our runner file lies there already.
        sh_like: True when the login shell there should understand what a POSIX sh does, so that no other is needed.
        system: `uname -s`.
        arch: `uname -m`.
        cpus: Processors that are online, at least 1.
        home_id: What tells this home from others on the machine.
        disk_free_mb: Free space where the home is; None where df doesn't tell.
        kills: The kernel's count of out-of-memory kills since boot; None where it doesn't count.
        picoclaw: How far PicoClaw is usable.
        path: Where its binary is; empty when it is missing.
        version: As the binary says; empty when unknown.
        detail: What PicoClaw answered when it wasn't ready; else empty.
        stamp: Changes when binary or settings change.
        round_trip_ms: How long the probe took.
        taken_at: `time.monotonic()` of this probe.
        looked_at: `time.monotonic()` of the last full look.
    """

    name: str
    boot_id: str
    load: float
    memory_total_mb: int | None = None
    memory_free_mb: int | None = None
    running: int = 0
    has_runner: bool = False
    sh_like: bool = False
    system: str = ""
    arch: str = ""
    cpus: int = 1
    home_id: str = ""
    disk_free_mb: int | None = None
    kills: int | None = None
    picoclaw: PicoclawState = PicoclawState.UNKNOWN
    path: str = ""
    version: str = ""
    detail: str = ""
    stamp: str = ""
    round_trip_ms: int = 0
    taken_at: float = field(default_factory=time.monotonic)
    looked_at: float = 0.0

    @property
    def machine_id(self) -> tuple[str, str, str]:
        """Equal for two names in the config that are one and the same account on one machine."""
        return (self.boot_id, self.name, self.home_id)


async def probe(pool: Pool, host: Host, known: Facts | None = None) -> Facts:
    """Reads the state of a host in one round trip.

    Args:
        pool: The connections.
        host: Whom to ask.
        known: What the last probe of this host saw. What is expensive to find out is taken over from it while it is
            younger than FULL_LOOK_SECONDS, and PicoClaw is only started when binary or settings have changed since.

    Returns:
        What is the case now.

    Raises:
        HostError: The host can't be reached, or what answers is no POSIX shell.
        ValueError, LookupError: Its answer makes no sense.
    """
    nonce = new_nonce()
    brief = known is not None and time.monotonic() - known.looked_at < FULL_LOOK_SECONDS
    bare = known is not None and brief and known.sh_like
    stamp = known.stamp if known and known.stamp else "-"
    look = _BRIEF_LOOK if brief else _FULL_LOOK
    if bare:
        command = f"set -- {nonce} {RUNNER_NAME}; {look}"
    else:
        command = shlex.join(["sh", "-c", look, "probe", nonce, RUNNER_NAME, stamp])
    await pool.connect(host)
    asked_at = time.monotonic()
    completed = await pool.run(host, command, timeout=ANSWER_SECONDS)
    now = time.monotonic()
    facts = _read(clean(completed.stdout), nonce, known, brief=brief)
    if facts is None and known is not None and bare:
        return await probe(pool, host, replace(known, sh_like=False))
    if facts is None:
        words = Redactor(secrets_of(host, {})).redact(clean(completed.stderr)).strip()[:200]
        raise HostError(
            "the probe got no sensible answer; it needs a POSIX sh and /proc there"
            + (f" (it said: {words})." if words else "."),
            host=host.name,
            reason=Reason.PROTOCOL_ERROR,
            next_step=f"Try it by hand: {host.by_hand('uname -a; ls /proc/self')}",
        )
    milliseconds = round((now - asked_at) * 1000)
    return replace(facts, round_trip_ms=milliseconds, taken_at=now, looked_at=facts.looked_at or now)


def _read(text: str, nonce: str, known: Facts | None, *, brief: bool) -> Facts | None:
    """Makes facts of a probe's answer; None when it has no end.

    Raises:
        ValueError, LookupError: It makes no sense.
    """
    said, spoken = _sections(text, nonce)
    if "end" not in said or len(said.get("host", [])) != 4:
        return None
    if brief and known is not None:
        return replace(known, **_state_in(said))
    return Facts(**_state_in(said), **_machine_in(said), **_picoclaw_in(said, spoken, known))


def _sections(text: str, nonce: str) -> tuple[_Said, dict[str, str]]:
    """The lines of the probe: the words behind each name, and the text that others printed below it."""
    said: _Said = {}
    spoken: dict[str, str] = {}
    section = ""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == [nonce] and len(words) > 1:
            section = words[1]
            said[section] = words[2:]
        elif section:
            spoken[section] = spoken.get(section, "") + line + "\n"
    return said, spoken


def _state_in(said: _Said) -> dict[str, Any]:
    """What changes from one moment to the next."""
    name, boot_id, _, load = said["host"]
    if not _NAME.fullmatch(name):
        raise ValueError("not a name")
    total, free = _megabytes(said.get("memory", []))
    return {
        "name": name,
        "boot_id": boot_id,
        "load": host_number.number(load),
        "memory_total_mb": total,
        "memory_free_mb": free,
        "running": host_number.count(said["running"][0]),
        "has_runner": "runner" in said,
    }


def _machine_in(said: _Said) -> dict[str, Any]:
    """What a brief probe does not ask for."""
    machine, disk, kills, shell = (said.get(section, []) for section in ("machine", "disk", "kills", "shell"))
    return {
        "sh_like": " ".join(shell).rpartition("/")[2] in _SH_LIKE,
        "system": machine[0][:_LONGEST_WORD] if machine else "",
        "arch": machine[1][:_LONGEST_WORD] if len(machine) > 1 else "",
        "cpus": _count_cpus(said.get("cpus", [""])[0]),
        "home_id": " ".join(said.get("home", [])),
        "disk_free_mb": host_number.count(disk[3]) // 1024 if len(disk) > 3 and disk[3].isdigit() else None,
        "kills": host_number.count(kills[1]) if len(kills) > 1 else None,
    }


def _picoclaw_in(said: _Said, spoken: dict[str, str], known: Facts | None) -> dict[str, Any]:
    """PicoClaw's state; what is known of it where the host has seen that it is the same as before."""
    if "picoclaw" not in said:
        return {"picoclaw": PicoclawState.MISSING}
    if known is not None and "version" not in said:
        return _picoclaw_of(known)
    ready = said.get("answered") == ["0"]
    return {
        "picoclaw": PicoclawState.READY if ready else PicoclawState.INSTALLED,
        "path": " ".join(said["picoclaw"]),
        "version": version_in(spoken.get("version", "")),
        "detail": "" if ready else complaint(spoken.get("ready", ""))[-600:].strip(),
        "stamp": said["stamp"][0],
    }


def version_in(text: str) -> str:
    """The version that `picoclaw version` has told there; empty when it hasn't."""
    version = _VERSION.search(text)
    return version[1] if version else ""


def _picoclaw_of(known: Facts) -> dict[str, Any]:
    return {key: getattr(known, key) for key in ("picoclaw", "path", "version", "detail", "stamp")}


def _megabytes(kilobytes: list[str]) -> tuple[int | None, int | None]:
    if len(kilobytes) != 2:
        return None, None
    total, free = kilobytes
    return host_number.count(total) // 1024, host_number.count(free) // 1024


def _count_cpus(online: str) -> int:
    """Counts a kernel list such as `0-3,5`."""
    count = 0
    for part in filter(None, online.split(",")):
        first, _, last = part.partition("-")
        count += host_number.count(last or first) - host_number.count(first) + 1
    return max(count, 1)
