"""A host without SSH: a home with the runner in it, calls of the runner by three shells, and a look at what is left.

site = Site(tmp_path / "home", shell)
call = site.start("j_one", "a task")
assert call.words()[0] == "started"
assert call.ending().answer == "done: a task"
"""

from __future__ import annotations

import hashlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import required
from tests.standin import Run, install, runs, set_knobs

from picoclaw_fleet.worker.contract import RUNNER, Ending, new_job_id

SECONDS = 20.0
"""Everything that a test waits for comes sooner than that."""

DEADLINE = 3
"""The seconds of a job that has to be up before they are over."""

NONCE = "0123456789abcdef"
MARK = "\n🦞 ".encode()


@dataclass(frozen=True)
class Shell:
    """A `sh`, and the PATH of a host that has it."""

    name: str
    path: str

    @property
    def program(self) -> str:
        return f"{self.path.split(':')[0]}/sh"


def make_shell(name: str, folder: Path) -> Shell:
    """Makes the folder that comes first in PATH. A BusyBox host has nothing but BusyBox."""
    folder.mkdir()
    program = required(name)
    if name == "busybox":
        subprocess.run([program, "--install", "-s", folder], check=True, timeout=SECONDS)
        return Shell(name, str(folder))
    (folder / "sh").symlink_to(program)
    return Shell(name, f"{folder}:/usr/bin:/bin")


@dataclass(frozen=True)
class Ended:
    """The end of a job, as a caller is told it."""

    ending: Ending
    out: bytes
    err: bytes
    tail: bytes
    files: list[str]

    @property
    def outcome(self) -> str:
        return self.ending.outcome

    @property
    def answer(self) -> str:
        return self.out.partition(MARK)[2].decode().removesuffix("\n")


class Call:
    """One call of the runner, as sshd would make it: in a session of its own, with pipes."""

    def __init__(self, command: list[str], env: Mapping[str, str], cwd: Path) -> None:
        self._process = subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self._buffer = b""

    def send(self, data: bytes) -> None:
        assert self._process.stdin
        with suppress(BrokenPipeError):
            self._process.stdin.write(data)
            self._process.stdin.flush()

    def hang_up(self) -> None:
        """Closes stdin, as a lost connection does."""
        assert self._process.stdin
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def words(self) -> list[str]:
        """The next line that begins with the nonce, without it; [] when there is none any more."""
        while True:
            line, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                if line.startswith(NONCE.encode()):
                    return line.decode().split()[1:]
            elif not self._more():
                return []

    def ending(self) -> Ended:
        """Reads the end of the job, and that nothing follows it."""
        words = self.words()
        if words[:1] == ["started"]:
            words = self.words()
        assert words[:1] == ["ended"], words
        ending = Ending.from_words(words[1:])
        out, err, tail, files = (self._exactly(size) for size in ending.sizes)
        assert not self._more(), self._buffer
        self.exited()
        return Ended(ending, out, err, tail, files.decode(errors="replace").splitlines())

    @property
    def is_closed(self) -> bool:
        """Whether its end has been read."""
        return self._process.returncode is not None

    def exited(self) -> int:
        """Waits for the exit of the front and returns its status."""
        return self._process.wait(SECONDS)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self._process.wait(SECONDS)

    def close(self) -> None:
        """Hangs up, and expects that the front notices."""
        self.hang_up()
        try:
            self.exited()
        finally:
            for stream in (self._process.stdout, self._process.stderr):
                assert stream
                stream.close()

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size and self._more():
            pass
        assert len(self._buffer) >= size, "the answer is shorter than its header says"
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _more(self) -> bool:
        assert self._process.stdout
        stdout = self._process.stdout.fileno()
        assert is_readable(stdout), f"no answer within {SECONDS} s"
        piece = os.read(stdout, 1 << 16)
        self._buffer += piece
        return bool(piece)


@dataclass(frozen=True)
class Processes:
    """Who works on a job."""

    runner: int
    guard: int
    picoclaw: int


@dataclass
class Site:
    """A home directory with the runner and the stand-in.

    The ids of its jobs begin with a word of its own: another test's job of the same id would be stopped with them.
    """

    home: Path
    shell: Shell
    name: str = "host"
    version: str = "0.2.9"
    env: dict[str, str] = field(default_factory=dict[str, str])
    wrapper: tuple[str, ...] = ()
    calls: list[Call] = field(default_factory=list[Call])
    tag: str = field(default_factory=new_job_id)

    def __post_init__(self) -> None:
        self.home.mkdir(exist_ok=True)
        self.reinstall()
        self.add_name(self.name)
        os.mkfifo(self.home / "up")
        # Held open for both ways: who writes to it never waits.
        self._up = os.open(self.home / "up", os.O_RDWR | os.O_NONBLOCK)

    def reinstall(self) -> None:
        """Puts PicoClaw there, in the version that is set."""
        install(self.home, version=self.version, knobs={"log": "runs"})

    def add_name(self, name: str) -> None:
        """Puts the runner there for a host of that name."""
        folder = self.home / ".picoclaw/fleet" / name
        for part in ("jobs", "claims", "running"):
            (folder / part).mkdir(parents=True)
        (folder / "runner").write_bytes(RUNNER)

    @property
    def folder(self) -> Path:
        return self.home / ".picoclaw/fleet" / self.name

    def job(self, job_id: str) -> Path:
        return self.folder / "jobs" / (self.tag + job_id)

    def claimed(self, job_id: str, claim: str = "") -> Path:
        """The directory of a job that somebody began to start, and got no further."""
        job = self.job(job_id)
        (self.folder / "claims" / job.name).write_text(claim)
        (job / "workspace").mkdir(parents=True)
        return job

    @property
    def running(self) -> list[str]:
        """The entries of jobs that hold a slot."""
        return sorted(name.removeprefix(self.tag) for name in running(self.folder))

    @property
    def runs(self) -> list[Run]:
        return runs(self.home / "runs")

    def knobs(self, **knobs: object) -> None:
        """What PicoClaw does from now on; `up` writes to a pipe that `is_up` waits for."""
        set_knobs(self.home, log="runs", **knobs)

    def busy(self, seconds: float = 60, **knobs: object) -> None:
        """PicoClaw says that it is up, as soon as it has printed what `partial` says, and takes its time."""
        if "partial" in knobs:
            command = f"until grep -q '{knobs['partial']}' ../out; do sleep 0.02; done; echo >$HOME/up"
            self.knobs(exec=command, background=True, slow=seconds, **knobs)
        else:
            self.knobs(exec="echo >$HOME/up", slow=seconds, **knobs)

    def is_up(self, times: int = 1) -> None:
        """Waits until that many PicoClaws are up."""
        while times > 0:
            assert is_readable(self._up), "PicoClaw did not start"
            times -= len(os.read(self._up, times))

    def call(self, verb: str, job_id: str, *words: object) -> Call:
        command = [
            *self.wrapper,
            self.shell.program,
            f".picoclaw/fleet/{self.name}/runner",
            verb,
            NONCE,
            self.tag + job_id,
        ]
        command += [str(word) for word in words]
        env = {"HOME": str(self.home), "PATH": self.shell.path, **self.env}
        call = Call(command, env, self.home)
        self.calls.append(call)
        return call

    def announce(
        self, job_id: str, size: int, digest: str, *, seconds: int = 60, slots: int = 4, limit: int = 1 << 20
    ) -> Call:
        """A start of which nothing has been sent yet."""
        return self.call("start", job_id, seconds, slots, limit // 512, size, digest)

    def start(
        self,
        job_id: str,
        task: str | bytes,
        *,
        settings: Mapping[str, str] | None = None,
        seconds: int = 60,
        slots: int = 4,
        limit: int = 1 << 20,
    ) -> Call:
        data = task.encode() if isinstance(task, str) else task
        digest = hashlib.sha256(data).hexdigest()
        call = self.announce(job_id, len(data), digest, seconds=seconds, slots=slots, limit=limit)
        lines = "".join(f"{name}={value}\n" for name, value in (settings or {}).items())
        call.send(lines.encode() + b"\n" + data + b"\n")
        return call

    def wait(self, job_id: str) -> Call:
        return self.call("wait", job_id)

    def stop(self, job_id: str) -> Call:
        return self.call("stop", job_id)

    def processes(self, job_id: str) -> Processes:
        """Those of a job that is up."""
        entry = next(name for name in self.running if name.startswith(f"{job_id}."))
        runner, guard = (int(stamp.split("-")[0]) for stamp in entry.split(".")[2:])
        return Processes(runner, guard, int((self.job(job_id) / "worker").read_text().split("-")[0]))

    def living(self) -> list[int]:
        """Every process that has this home in its environment."""
        return list(processes_with(f"HOME={self.home}"))

    def close(self) -> None:
        """Ends the calls, and expects that nothing is left of any job: no process and no slot."""
        for call in self.calls:
            call.close()
        os.close(self._up)
        living = self.living()
        left = [command_of(pid) for pid in wait_for_exit(living)]
        # Where nobody was, nobody can have come: each look reads of all processes of this machine.
        for pid in self.living() if living else ():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert left == []
        assert self.running == []


def running(folder: Path) -> list[str]:
    """The entries of jobs that hold a slot, in a host's folder."""
    entries = [entry.name for entry in (folder / "running").iterdir()]
    return [name for name in entries if not (folder / "jobs" / name.split(".")[0] / "closed").exists()]


def is_readable(descriptor: int, seconds: float = SECONDS) -> bool:
    """Whether there is something to read, or an end, within that time."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def processes_with(entry: str) -> Iterator[int]:
    """The pids of those that have this entry in their environment."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if entry.encode() in (process / "environ").read_bytes().split(b"\0"):
                yield int(process.name)


def command_of(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def stamp_of(pid: int) -> str:
    """Pid and start time, as the runner writes them: no other process of this boot has them."""
    return f"{pid}-{Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[19]}"


def is_alive(pid: int) -> bool:
    """Whether that process runs; one that is dead and not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_for_exit(pids: Iterable[int], seconds: float = SECONDS) -> list[int]:
    """Waits until these processes have exited, and returns those that have not in time."""
    left: list[int] = []
    deadline = time.monotonic() + seconds
    for pid in pids:
        with suppress(ProcessLookupError):
            exit_of = os.pidfd_open(pid)
            try:
                if not is_readable(exit_of, max(deadline - time.monotonic(), 0)):
                    left.append(pid)
            finally:
                os.close(exit_of)
    return left
