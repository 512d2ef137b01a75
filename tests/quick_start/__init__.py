"""The installed command, started by forking a process that has imported everything already.

Starting Python with the MCP SDK takes most of a second of CPU, and the tests start the command hundreds of times: half
of what a run of all tests would take. A forked process runs the same `main` with its own arguments, environment, pipes
or terminal, and signals. Tests of the start and the end themselves, and of memory and files, use `COMMAND`.
"""

from __future__ import annotations

import atexit
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from tests.embedded_fleet import COMMAND

HERE = Path(__file__).parent


@cache
def quick_command() -> str:
    """The path of a command that does what `COMMAND` does, and starts faster. Its server ends with this process."""
    if sys.platform != "linux":
        return COMMAND
    folder = Path(tempfile.mkdtemp(prefix="quick-start-"))
    command = folder / Path(COMMAND).name
    command.write_text(f"#!{sys.executable} -SE\n{(HERE / 'client.py').read_text()}")
    command.chmod(0o755)
    server = subprocess.Popen(
        [sys.executable, str(HERE / "server.py"), str(folder), COMMAND],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    # The end of its stdin ends it, whatever becomes of this process.
    atexit.register(server.communicate)
    assert server.stdout is not None
    assert server.stdout.readline() == b"listening\n"
    return str(command)
