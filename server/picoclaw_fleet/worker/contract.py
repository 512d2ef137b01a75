"""The run contract: how a job is started, awaited and stopped on its host, over one channel for all three.

The runner (`runner.sh`) is the other half. A call is `sh RUNNER verb nonce id ...`; whatever the host prints before the
first line that begins with the call's nonce is dropped. The words after the nonce:

    started UP NOW        the job runs, since UP; both are the host's uptime in seconds
    ended ...             the job is over: see `Ending`; its output follows
    no_slot, not_installed, id_conflict, disk_full, home_not_writable, truncated, absent
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib import resources

import anyio

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.transport import Command, Lane, Pool
from picoclaw_fleet.worker.host_number import count, seconds

RUNNER = resources.files("picoclaw_fleet.worker").joinpath("runner.sh").read_bytes()
"""The runner's text, the same on every host."""

RUNNER_NAME = f"runner-{hashlib.sha256(RUNNER).hexdigest()[:16]}"
"""Its file name on the hosts: another text is another file, so running jobs keep theirs."""

MAX_TASK_BYTES = 120_000
"""What fits into one argument of a process, the only way into PicoClaw; Linux allows 131,071 (MAX_ARG_STRLEN)."""

MAX_OUTPUT_BYTES = 256 << 20
"""No file that a job writes may be larger, whatever its host says."""

BLOCK_BYTES = 512
"""The unit of `ulimit -f` (POSIX)."""

_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"  # 32 letters: a byte gives each of them as often
_FORGET_SECONDS = 60.0
_INSTALL_SECONDS = 120.0
_MAX_NOISE_BYTES = 1 << 20
_CLOSING_SECONDS = 10.0
_CHUNK_BYTES = 1 << 16
_HIGHEST_STATUS = 255
# What dash and BusyBox, and what bash answers when the runner's file isn't there; 0 when a power cut has emptied it.
_NO_SUCH_SCRIPT = (2, 127, 0)

_REFUSALS = {
    "no_slot": (Reason.NO_SLOT, "has no free slot or too little free memory (24 MB)", True, ""),
    "not_installed": (Reason.NOT_INSTALLED, "PicoClaw is not installed there", False, "Use deploy to put it there."),
    "id_conflict": (Reason.ID_CONFLICT, "a job with this id and another task is there already", False, ""),
    "disk_full": (Reason.DISK_FULL, "its disk is full", False, "Free some space in the home there."),
    "home_not_writable": (
        Reason.HOME_NOT_WRITABLE,
        "nothing can be written to the home there",
        False,
        "Check owner and mode of ~/.picoclaw on that host.",
    ),
    "truncated": (Reason.LOST_CONTACT, "the task did not arrive whole, so nothing was started", True, ""),
}


def new_nonce() -> str:
    """A word that nobody on the host can have guessed."""
    return secrets.token_hex(8)


def new_job_id() -> str:
    """An id of 60 random bits; all ids have one length, so none is the beginning of another."""
    return "j_" + "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in secrets.token_bytes(12))


@dataclass(frozen=True, slots=True)
class Order:
    """What a host is asked to do.

    Attributes:
        job_id: As `new_job_id` makes it.
        task: The text for PicoClaw, as bytes that fit MAX_TASK_BYTES, without NUL.
        seconds: How long PicoClaw may take, from 1.
        slots: How many jobs may run on the host at once.
        output_limit: How many bytes any one file that the job writes may have.
        settings: Environment for PicoClaw. Goes over stdin, since values may be secret.
    """

    job_id: str
    task: bytes
    seconds: int
    slots: int
    output_limit: int
    settings: Mapping[str, str]

    def arguments(self) -> list[str]:
        """The words of the command line: nothing but [A-Za-z0-9_]."""
        blocks = self.output_limit // BLOCK_BYTES
        digest = hashlib.sha256(self.task).hexdigest()
        return [str(word) for word in (self.seconds, self.slots, blocks, len(self.task), digest)]

    def stdin(self) -> bytes:
        """Settings, an empty line, the task, a newline: a shell reads lines."""
        settings = "".join(f"{name}={value}\n" for name, value in self.settings.items())
        return os.fsencode(settings) + b"\n" + self.task + b"\n"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ended, in the host's words. Times are the host's uptime in seconds.

    Attributes:
        outcome: exit, timed_out, cancelled, killed (the runner was) or lost (runner and guard were).
        exit_status: PicoClaw's, as sh gives it (above 128: a signal); None unless outcome is exit.
        disk_full: True when the job's last words needed its reserve.
        stop_verified: True when nothing of the job is left on the host.
        started: When PicoClaw was started.
        ended: When all was stopped.
        now: When this was reported.
        kills: The kernel's count of out-of-memory kills, where exit_status says SIGKILL; else None.
        output_limit: The job's limit in bytes; 0 when unknown.
        sizes: How many bytes there are of out, err, tail (of the session) and files (names, a line each).
    """

    outcome: str
    exit_status: int | None
    disk_full: bool
    stop_verified: bool
    started: float
    ended: float
    now: float
    kills: int | None
    output_limit: int
    sizes: tuple[int, int, int, int]

    @classmethod
    def from_words(cls, words: list[str]) -> Ending:
        """Reads the words behind `ended`. Raises ValueError when they aren't such."""
        outcome, code, full, left, started, ended, now, kills, blocks, *sizes = words
        out, err, tail, files = map(count, sizes)
        if max(out, err, tail) > MAX_OUTPUT_BYTES or (code.isdigit() and int(code) > _HIGHEST_STATUS):
            raise ValueError("out of range")
        return cls(
            outcome=outcome,
            exit_status=int(code) if code.isdigit() else None,
            disk_full=full == "disk_full",
            stop_verified=left == "stopped",
            started=seconds(started),
            ended=seconds(ended),
            now=seconds(now),
            kills=count(kills) if kills.isdigit() else None,
            output_limit=count(blocks) * BLOCK_BYTES,
            sizes=(out, err, tail, files),
        )


class Attendance:
    """A channel on which somebody waits for a job. Leaving it ends the waiting, never the job."""

    def __init__(self, host: Host, command: Command, nonce: str) -> None:
        self._host = host
        self._command = command
        self._nonce = nonce.encode() + b" "
        self._buffer = b""

    async def started(self) -> tuple[float, float]:
        """Waits until the host says that the job runs there.

        Returns:
            When it was started, and now; both in the host's uptime in seconds.

        Raises:
            HostError: The host refused, with its reason; or contact was lost (lost_contact).
            RunnerMissingError: The runner isn't there; nothing was started.
            JobAbsentError: The host knows no such job.
        """
        words = await self._words()
        match words:
            case ["started", since, now]:
                try:
                    return seconds(since), seconds(now)
                except ValueError:
                    raise self._unexpected(words) from None
            case _:
                raise self._unexpected(words)

    async def ended(self) -> Ending:
        """Waits for the end of the job.

        Raises:
            HostError: Contact was lost, or a late no_slot.
        """
        words = await self._words()
        match words:
            case ["ended", *rest]:
                try:
                    return Ending.from_words(rest)
                except ValueError:
                    raise self._unexpected(words) from None
            case _:
                raise self._unexpected(words)

    async def copy(self, size: int, write: Callable[[bytes], object]) -> None:
        """Passes exactly size bytes of the job's output to write.

        Raises:
            HostError: Contact was lost before they were all here.
        """
        while size > 0:
            chunk = self._buffer[:size] or await self._command.read(min(size, _CHUNK_BYTES))
            if not chunk:
                raise self._lost()
            self._buffer = self._buffer[len(chunk) :]
            write(chunk)
            size -= len(chunk)

    async def _words(self) -> list[str]:
        """The next line that bears the nonce; what comes before it is a shell's greeting."""
        dropped = 0
        while True:
            line, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                if line.startswith(self._nonce):
                    return line[len(self._nonce) :].decode(errors="replace").split()
                dropped += len(line)
                continue
            chunk = await self._command.read(_CHUNK_BYTES)
            if not chunk:
                # Only then is it known how the command ended.
                with anyio.move_on_after(_CLOSING_SECONDS):
                    await self._command.wait_closed()
                return []
            if dropped + len(line) > _MAX_NOISE_BYTES:
                return []
            self._buffer += chunk

    def _unexpected(self, words: list[str]) -> Exception:
        match words:
            case [str(word), *_] if word in _REFUSALS:
                reason, message, retryable, next_step = _REFUSALS[word]
                return HostError(
                    message + ".", host=self._host.name, reason=reason, retryable=retryable, next_step=next_step
                )
            case ["absent"]:
                return JobAbsentError()
            case [] if self._command.exit_status in _NO_SUCH_SCRIPT:
                return RunnerMissingError()
            case []:
                return self._lost()
            case _:
                return HostError(
                    f"the runner answered {' '.join(words)[:80]!r}, which makes no sense.",
                    host=self._host.name,
                    reason=Reason.PROTOCOL_ERROR,
                )

    def _lost(self) -> HostError:
        said = self._command.stderr.decode(errors="replace").strip()
        return HostError(
            "contact was lost while the job was there" + (f" ({said[:200]})." if said else "."),
            host=self._host.name,
            reason=Reason.LOST_CONTACT,
            retryable=True,
        )


class RunnerMissingError(Exception):
    """The runner's file isn't on the host, so nothing was started."""


class JobAbsentError(Exception):
    """The host has no directory of that job."""


def start(pool: Pool, host: Host, name: str, order: Order) -> AbstractAsyncContextManager[Attendance]:
    """Sends a job to a host; the same order again attaches to it.

    Args:
        pool: The connections.
        host: Where to.
        name: The host's own name, as the probe read it.
        order: What is to be done.
    """
    return _call(pool, host, name, "start", order.job_id, *order.arguments(), stdin=order.stdin())


def wait(pool: Pool, host: Host, name: str, job_id: str) -> AbstractAsyncContextManager[Attendance]:
    """Waits for a job that was started earlier."""
    return _call(pool, host, name, "wait", job_id)


def stop(pool: Pool, host: Host, name: str, job_id: str) -> AbstractAsyncContextManager[Attendance]:
    """Stops a job; when the host doesn't know it, it can never start there afterwards."""
    return _call(pool, host, name, "stop", job_id)


async def forget(pool: Pool, host: Host, name: str, job_ids: Sequence[str]) -> None:
    """Removes what a host has of jobs whose output is safely here; files in their workspaces stay for a month.

    Raises:
        HostError: The host can't be reached, or the runner isn't there.
    """
    nonce = new_nonce()
    completed = await pool.run(host, _line(name, "forget", nonce, *job_ids), timeout=_FORGET_SECONDS)
    if f"{nonce} forgotten".encode() not in completed.stdout:
        raise HostError("the files of jobs could not be removed there.", host=host.name, reason=Reason.PROTOCOL_ERROR)


@asynccontextmanager
async def _call(
    pool: Pool, host: Host, name: str, verb: str, *words: str, stdin: bytes = b""
) -> AsyncGenerator[Attendance]:
    nonce = new_nonce()
    line = _line(name, verb, nonce, *words)
    lane = Lane.PROMPT if verb == "stop" else Lane.WAIT
    async with pool.command(host, line, stdin=stdin, lane=lane) as command:
        yield Attendance(host, command, nonce)


def _line(name: str, verb: str, nonce: str, *words: str) -> str:
    # Most servers begin in the home, but what counts is HOME, as for everything else that runs there.
    return " ".join(["cd;", "exec", "sh", f"{fleet_folder(name)}/{RUNNER_NAME}", verb, nonce, *words])


def fleet_folder(name: str) -> str:
    """Where everything of ours lies on a host, below its home."""
    return f".picoclaw/fleet/{name}"


async def install_runner(pool: Pool, host: Host, name: str) -> None:
    """Puts the runner on a host, under a temporary name first.

    Raises:
        HostError: The home can't be written to, the disk is full, or contact was lost.
    """
    nonce = new_nonce()
    folder = fleet_folder(name)
    script = (
        f"cd; umask 077; mkdir -p {folder}/jobs {folder}/claims {folder}/running || exit; cd {folder} || exit; "
        f"cat >{RUNNER_NAME}.{nonce} && [ $(wc -c <{RUNNER_NAME}.{nonce}) -eq {len(RUNNER)} ] "
        f"&& mv -f {RUNNER_NAME}.{nonce} {RUNNER_NAME} && echo {nonce} || {{ rm -f {RUNNER_NAME}.{nonce}; exit 1; }}"
    )
    completed = await pool.run(host, f"sh -c '{script}'", stdin=RUNNER, timeout=_INSTALL_SECONDS)
    if nonce.encode() in completed.stdout:
        return
    said = completed.stderr.decode(errors="replace").strip()
    if completed.exit_status is None:
        reason, retryable = Reason.LOST_CONTACT, True
    else:
        reason, retryable = (Reason.DISK_FULL if "No space" in said else Reason.HOME_NOT_WRITABLE), False
    raise HostError(
        f"the runner could not be put into ~/{folder}" + (f" ({said[-200:]})." if said else "."),
        host=host.name,
        reason=reason,
        retryable=retryable,
        next_step="" if retryable else "Check free space, owner and mode of ~/.picoclaw there.",
    )
