"""The lab: many hosts on this machine, each a real sshd on an address of its own, with its own home and processes.

A host is a process namespace: what looks through all processes of a host sees that host's only, as it would in a real
fleet, and killing the first process of the namespace leaves nothing behind. That takes root.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

PORT = 2222
_START_SECONDS = 30
_NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc")
_NETS = (77, *range(100, 120))

WORKER = """\
#!/bin/sh
# Answers after as many seconds as the task says, or with as many bytes.
for last; do :; done
case $last in
  "sleep "*) sleep "${last#sleep }" ;;
  "print "*) head -c "${last#print }" /dev/zero ;;
esac
printf '\\n🦞 done %s\\n' "$last"
"""
"""Stands for PicoClaw: what is measured is the way to it and back."""

_SSHD_CONFIG = """\
Port {port}
ListenAddress {address}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/id.pub
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
UseDNS no
PrintMotd no
PrintLastLog no
LogLevel ERROR
MaxStartups 4096
PermitRootLogin yes
Subsystem sftp internal-sftp
SetEnv HOME={home}
"""


@dataclass(frozen=True)
class LabHost:
    """One host.

    Attributes:
        name: As in the configs.
        address: Where it listens.
        home: The home of whoever logs in there.
        pid: The process above its namespace.
    """

    name: str
    address: str
    home: Path
    pid: int


@dataclass(frozen=True)
class Lab:
    """All hosts, and what a client needs to reach them.

    Attributes:
        hosts: In order.
        folder: For whatever a contender wants to put down.
        key: The client's private key.
        known_hosts: The keys of all hosts.
    """

    hosts: tuple[LabHost, ...]
    folder: Path
    key: Path
    known_hosts: Path

    @classmethod
    def read(cls, file: Path) -> Lab:
        """The lab that another process has, as `written` has put it down."""
        data = json.loads(file.read_text())
        hosts = tuple(LabHost(name, address, Path(home), pid) for name, address, home, pid in data["hosts"])
        return cls(hosts, *(Path(data[name]) for name in ("folder", "key", "known_hosts")))

    def written(self) -> Path:
        """A file for `read`."""
        file = self.folder / "lab.json"
        hosts = [(host.name, host.address, str(host.home), host.pid) for host in self.hosts]
        paths = {name: str(getattr(self, name)) for name in ("folder", "key", "known_hosts")}
        file.write_text(json.dumps({"hosts": hosts, **paths}))
        return file

    def config(self, count: int, **defaults: object) -> Path:
        """A fleet config of the first hosts."""
        file = self.folder / f"fleet-{count}.json"
        hosts = [{"name": host.name, "host": host.address} for host in self.hosts[:count]]
        settings = {
            "port": PORT,
            "ssh_key": str(self.key),
            "known_hosts": str(self.known_hosts),
            "slots": 8,
            **defaults,
        }
        file.write_text(json.dumps({"hosts": hosts, "defaults": settings}))
        return file

    def ssh_config(self, name: str, *lines: str) -> Path:
        """An ssh_config with all hosts by name and some more lines, for programs that use OpenSSH's client."""
        file = self.folder / f"ssh_config_{name}"
        blocks = [f"Host {host.name}\n  HostName {host.address}" for host in self.hosts]
        common = [
            "Host *",
            f"  Port {PORT}",
            f"  IdentityFile {self.key}",
            "  IdentitiesOnly yes",
            "  BatchMode yes",
            f"  UserKnownHostsFile {self.known_hosts}",
            "  GlobalKnownHostsFile /dev/null",
            *(f"  {line}" for line in lines),
        ]
        file.write_text("\n".join([*blocks, *common, ""]))
        return file


def missing() -> str:
    """Why there can be no lab here; empty when there can."""
    programs = ("/usr/sbin/sshd", "ssh", "ssh-keygen", "unshare", "bash")
    if absent := [program for program in programs if shutil.which(program) is None]:
        return f"it needs {', '.join(absent)}"
    tried = subprocess.run([*_NAMESPACE, "true"], capture_output=True, check=False)
    return "" if tried.returncode == 0 else "it needs root, and the right to make process namespaces"


@contextmanager
def lab(count: int) -> Generator[Lab]:
    """Starts so many hosts, and stops all of it in the end."""
    folder = Path(tempfile.mkdtemp(prefix="fleet-bench-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    Path("/run/sshd").mkdir(exist_ok=True)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for name in ("host_key", "id"):
            new_key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / name)]
            subprocess.run(new_key, check=True)
        net = stack.enter_context(_net_of_our_own())
        started: list[tuple[LabHost, subprocess.Popen[bytes]]] = []
        for number in range(count):
            started.append(_start(folder, net, number))
            stack.callback(_stop, started[-1][1])
        for host, process in started:
            _await_greeting(host, process)
        hosts = tuple(host for host, _ in started)
        public = (folder / "host_key.pub").read_text().strip()
        known = folder / "known_hosts"
        known.write_text("".join(f"[{host.address}]:{PORT} {public}\n" for host in hosts))
        yield Lab(hosts, folder, folder / "id", known)


@contextmanager
def _net_of_our_own() -> Generator[int]:
    """The second number of addresses that no other lab has: a bound socket keeps them for as long as there is ours."""
    with socket.socket() as claim:
        for net in _NETS:
            try:
                claim.bind((f"127.{net}.255.254", PORT))
            except OSError:
                continue
            yield net
            return
    raise RuntimeError(f"too many labs run on this machine: port {PORT} is taken everywhere")


def _start(folder: Path, net: int, number: int) -> tuple[LabHost, subprocess.Popen[bytes]]:
    name, address = f"h{number:04}", f"127.{net}.{number // 250}.{number % 250 + 1}"
    home = folder / name
    worker = home / ".local/bin/picoclaw"
    worker.parent.mkdir(parents=True)
    worker.write_text(WORKER)
    worker.chmod(0o755)
    config = folder / f"{name}.conf"
    config.write_text(_SSHD_CONFIG.format(port=PORT, address=address, folder=folder, home=home))
    command = [*_NAMESPACE, "/usr/sbin/sshd", "-D", "-e", "-f", str(config)]
    with (folder / "sshd.log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)
    return LabHost(name, address, home, process.pid), process


def _stop(process: subprocess.Popen[bytes]) -> None:
    for child in _children(process.pid):
        os.kill(child, signal.SIGKILL)
    process.wait()


def _await_greeting(host: LabHost, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with socket.create_connection((host.address, PORT), timeout=_START_SECONDS):
                return
        except ConnectionRefusedError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise
            time.sleep(0.02)


def _children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        yield from map(int, task.read_text().split())
