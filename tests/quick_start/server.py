"""Imports the command once, and forks for each client that comes: server.py FOLDER COMMAND."""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import os
import pkgutil
import select
import shutil
import signal
import socket
import sys
import termios
from contextlib import suppress
from pathlib import Path

import picoclaw_fleet
from picoclaw_fleet.__main__ import main as run_command

LATE = ("anyio._backends._asyncio", "rich.logging", "rich.progress", "rich.table")
"""Others' modules that are imported when they are used."""


class End:
    """The end of a process: what Python does there, but for taking every module apart, which copies all memory."""

    status = 1

    @classmethod
    def leave(cls) -> None:
        """Ends this process. It is registered first, so that it is called last."""
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(cls.status)


def main(folder: Path, command: str) -> None:
    """Serves until stdin ends, and takes its folder away then."""
    atexit.register(End.leave)
    ours = (module.name for module in pkgutil.walk_packages(picoclaw_fleet.__path__, "picoclaw_fleet."))
    for name in (*LATE, *ours):
        importlib.import_module(name)
    # What is there now stays: no child has to look through it for garbage, nor copy it by doing so.
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "socket"))
    listener.listen(64)
    sys.stdout.write("listening\n")
    sys.stdout.flush()
    children = Children()
    events = select.poll()
    events.register(0, select.POLLIN)
    events.register(listener, select.POLLIN)
    while True:
        for ready, _ in events.poll():
            if ready == 0:
                children.kill()
                shutil.rmtree(folder)
                return
            if ready == listener.fileno():
                connection, _ = listener.accept()
                pid = os.fork()
                if not pid:
                    listener.close()
                    become(connection, command)
                for watched in children.add(pid, connection):
                    # Without events asked for, a connection tells of its end only.
                    events.register(watched, select.POLLIN if watched != connection.fileno() else 0)
            else:
                for watched in children.look(ready):
                    events.unregister(watched)


class Children:
    """The processes that run, each with the connection of its client."""

    def __init__(self) -> None:
        self._by_watched: dict[int, tuple[int, int, socket.socket]] = {}

    def add(self, pid: int, connection: socket.socket) -> tuple[int, int]:
        """Tells the client of its process. Returns what to watch: the process, and the client."""
        process = os.pidfd_open(pid)
        with suppress(BrokenPipeError):
            connection.sendall(pid.to_bytes(8, "big"))
        watched = process, connection.fileno()
        self._by_watched.update(dict.fromkeys(watched, (pid, process, connection)))
        return watched

    def look(self, watched: int) -> tuple[int, ...]:
        """The process or its client has ended: so does the other. Returns what need not be watched any more."""
        if watched not in self._by_watched:
            return ()
        pid, process, connection = self._by_watched[watched]
        if watched != process:
            signal.pidfd_send_signal(process, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        both = process, connection.fileno()
        for one in both:
            del self._by_watched[one]
        with suppress(BrokenPipeError):
            connection.sendall(status.to_bytes(8, "big"))
        os.close(process)
        connection.close()
        return both

    def kill(self) -> None:
        """Stops all."""
        for pid, _, _ in self._by_watched.values():
            os.kill(pid, signal.SIGKILL)


def become(connection: socket.socket, command: str) -> None:
    """Turns this process into the command, as the client was called."""
    header, pipes, _, _ = socket.recv_fds(connection, 8, 3)
    if not header:
        sys.exit()  # the client is gone
    left = int.from_bytes(header, "big")
    request = b""
    while len(request) < left:
        request += connection.recv(left - len(request))
    connection.close()
    for number, pipe in enumerate(pipes):
        os.dup2(pipe, number)
        os.close(pipe)
    count, folder, *words = request.decode("utf-8", "surrogateescape").split("\0")
    arguments, environment = words[: int(count)], words[int(count) :]
    take_terminal()
    os.chdir(folder)
    os.environ.clear()
    for pair in environment:
        name, _, value = pair.partition("=")
        os.environ[name] = value
    sys.argv = [command, *arguments[1:]]
    try:
        run_command()
        End.status = 0
    except SystemExit as end:
        End.status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        raise
    sys.exit()


def take_terminal() -> None:
    """Makes the terminal that was passed on, if it is one and nobody's, that of this process: Ctrl-C gets here."""
    os.setsid()
    with suppress(OSError):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
