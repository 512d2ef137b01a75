"""Has the server beside this file run the command with all that this process was given, and ends as that does.

What it imports is C: the modules around that would take as long again as Python's own start.
"""

import array
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
else:
    import _signal as signal
    import _socket as socket

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def main() -> None:
    early: list[int] = []
    for number in FORWARDED:
        signal.signal(number, lambda number, _: early.append(number))
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(f"{os.path.dirname(__file__)}/socket")  # noqa: PTH120
    environment = [f"{name}={value}" for name, value in os.environ.items()]
    words = [str(len(sys.argv)), os.getcwd(), *sys.argv, *environment]  # noqa: PTH109
    request = "\0".join(words).encode("utf-8", "surrogateescape")
    header = len(request).to_bytes(8, "big")
    pipes = array.array("i", [0, 1, 2])
    connection.sendmsg([header], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, pipes)])
    connection.sendall(request)
    # Only the command may hold these: who reads from it waits for the last one to close them.
    nothing = os.open(os.devnull, os.O_RDWR)
    for pipe in (0, 1, 2):
        os.dup2(nothing, pipe)
    pid = int.from_bytes(connection.recv(8), "big")
    for number in FORWARDED:
        signal.signal(number, lambda number, _: os.kill(pid, number))
    for number in early:
        os.kill(pid, number)
    status = int.from_bytes(connection.recv(8) or b"\xff", "big")
    if os.WIFSIGNALED(status):
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status))


main()
