"""Who is alive: told by locks that the kernel frees, so that no death goes unnoticed and nobody is taken for dead."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from picoclaw_fleet.jobs.holder import Holder

CHILD = """\
import sys
from pathlib import Path
from picoclaw_fleet.jobs.holder import Holder
holder = Holder(Path(sys.argv[1]))
holder.begin()
print(holder.name, flush=True)
sys.stdin.read()
holder.end()
"""


@contextmanager
def _child(folder: Path) -> Generator[tuple[subprocess.Popen[str], str]]:
    """Another process, and its name as a holder."""
    command = [sys.executable, "-c", CHILD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        try:
            yield child, child.stdout.readline().strip()
        finally:
            child.kill()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Holder]:
    holder = Holder(tmp_path)
    holder.begin()
    yield holder
    holder.end()


def test_a_process_is_alive_for_itself_and_for_others(tmp_path: Path, holder: Holder) -> None:
    with _child(tmp_path) as (_, name):
        assert holder.alive(holder.name)
        assert holder.alive(name)
        assert holder.alive(name), "looking must not be what kills it"
        assert name != holder.name


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_process_that_was_killed_is_dead_at_once(tmp_path: Path, holder: Holder, number: signal.Signals) -> None:
    with _child(tmp_path) as (child, name):
        child.send_signal(number)
        child.wait(20)
        assert not holder.alive(name)
        assert not holder.alive(name)


def test_a_process_that_has_ended_is_dead_and_leaves_nothing(tmp_path: Path, holder: Holder) -> None:
    with _child(tmp_path) as (child, name):
        child.communicate(timeout=20)
        assert not holder.alive(name)
        assert [file.stem for file in tmp_path.iterdir()] == [holder.name]


def test_a_process_that_is_stopped_is_not_dead(tmp_path: Path, holder: Holder) -> None:
    with _child(tmp_path) as (child, name):
        child.send_signal(signal.SIGSTOP)
        assert holder.alive(name)


def test_a_child_of_a_dead_process_does_not_keep_it_alive(tmp_path: Path, holder: Holder) -> None:
    code = CHILD.replace("sys.stdin.read()", "import subprocess; subprocess.run(['sleep', '60'])")
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as child:
        assert child.stdout
        name = child.stdout.readline().strip()
        children = Path(f"/proc/{child.pid}/task/{child.pid}/children")
        # Before its exec the child still has all that its parent has open.
        while not any(_is_sleeping(pid) for pid in children.read_text().split()):
            pass
        (sleeper,) = map(int, children.read_text().split())
        child.kill()
        child.wait(20)
        assert not holder.alive(name)
        subprocess.run(["kill", str(sleeper)], check=True)


def _is_sleeping(pid: str) -> bool:
    return Path(f"/proc/{pid}/comm").read_text() == "sleep\n"


def test_nobody_is_dead(holder: Holder) -> None:
    assert not holder.alive("")
    assert not holder.alive("1-nobody")
