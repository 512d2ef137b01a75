"""A client that is killed while it comes takes nobody's server away."""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from tests.quick_start import quick_command


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is the installed command itself")
def test_a_client_that_is_gone_before_it_is_let_in_leaves_the_server_to_the_others() -> None:
    door = str(Path(quick_command()).with_name("socket"))
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        first.connect(door)
        server, _, _ = struct.unpack("3i", first.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        os.kill(server, signal.SIGSTOP)
        second.connect(door)
    os.kill(server, signal.SIGCONT)

    done = subprocess.run([quick_command(), "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
