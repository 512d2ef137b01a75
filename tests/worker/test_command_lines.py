"""Every command line that goes to a host, with whatever may stand in it: passed on word by word, and nothing runs.

The real functions send to a server that writes commands down. Then dash, bash and BusyBox read them as login shells do.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import asyncssh
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tests.servers import NOBODY
from tests.worker.site import make_shell

from picoclaw_fleet.clients.client import Client
from picoclaw_fleet.clients.launch import Launch
from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError
from picoclaw_fleet.transport import LocalFile, Pool, upload
from picoclaw_fleet.worker import contract
from picoclaw_fleet.worker.contract import Order, install_runner, new_job_id
from picoclaw_fleet.worker.probe import Facts, probe
from picoclaw_fleet.worker.script import run_script

SHELLS = ("dash", "bash", "busybox")
CANARY = "touch canary"
HOSTILE = [
    f"$({CANARY})",
    f"`{CANARY}`",
    f";{CANARY};",
    f"\n{CANARY}\n",
    f"x\r\n{CANARY}\r\n",
    f"'; {CANARY}; '",
    f'"; {CANARY}; "',
    f"'\"'\"'; {CANARY}; '\"'\"'",
    f"| {CANARY}",
    f"&& {CANARY} &",
    f">canary <(${{IFS}}{CANARY})",
    "-oProxyCommand=touch${IFS}canary",
    "--",
    "-",
    f"\\'; {CANARY} #",
    f"\\\n{CANARY}",
    "${HOME}$HOME$$!!~*?[a-z]{a,b}",
    "%s\\n\\0\\c",
    "",
    " ",
    "é🦞\u202e\u2028",
]
PARTS = st.sampled_from([*HOSTILE, *"'\"\\`$;&|<>(){}[]*?~#!=%\n\r\t -ab"])
PAYLOADS = st.lists(PARTS, min_size=1, max_size=6).map("".join)
PLAIN = re.compile(r"cd; exec sh [A-Za-z0-9_./-]+(?: [A-Za-z0-9_-]+)*")
"""How a call of the runner looks, whatever the task is."""


class Recorder:
    """An SSH server that runs nothing. It lets anyone in."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.host: Host = NOBODY

    async def take(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        self.commands.append(process.command or "")
        process.exit(0)

    def taken(self) -> list[str]:
        commands, self.commands = self.commands, []
        return commands


class _Anyone(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return False


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def recorder() -> AsyncIterator[Recorder]:
    recorder = Recorder()
    key = asyncssh.generate_private_key("ssh-ed25519")  # pyright: ignore[reportUnknownMemberType]
    server = await asyncssh.listen(
        "127.0.0.1", 0, server_factory=_Anyone, server_host_keys=[key], process_factory=recorder.take, encoding=None
    )
    shown = " ".join(key.export_public_key().decode().split()[:2])
    recorder.host = replace(NOBODY, name="any", port=server.get_port(), user="me", host_key=shown)
    yield recorder
    server.close()
    await server.wait_closed()


@pytest.fixture
async def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pool]:
    monkeypatch.setenv("HOME", str(tmp_path))
    async with Pool() as pool:
        yield pool


@pytest.fixture
def shells(tmp_path: Path) -> list[tuple[str, str]]:
    """For each shell how it is called, and a PATH on which `sh` is it."""
    made = [make_shell(name, tmp_path / f"bin-{name}") for name in SHELLS]
    return [(shell.program, shell.path) for shell in made]


@settings(max_examples=4, phases=[Phase.generate])
@given(payloads=st.lists(PAYLOADS, min_size=12, max_size=12))
async def test_what_stands_in_a_command_arrives_as_it_is_and_runs_nothing(
    pool: Pool, recorder: Recorder, shells: list[tuple[str, str]], tmp_path: Path, payloads: list[str]
) -> None:
    expected: list[list[str]] = []
    for payload in [*HOSTILE, *payloads]:
        with suppress(HostError):  # nobody answers
            await run_script(pool, recorder.host, b"true", ["survey", payload, "-", payload])
        expected.append(["survey", payload, "-", payload])
        with suppress(HostError):
            await probe(pool, recorder.host, _known(payload))
        expected.append([payload or "-"])
    commands = recorder.taken()

    for program, path in shells:
        words = _read_by(program, path, commands, tmp_path)
        assert [line[-len(last) :] for line, last in zip(words, expected, strict=True)] == expected
    assert not list(tmp_path.rglob("canary"))


@settings(max_examples=4, phases=[Phase.generate])
@given(payloads=st.lists(PAYLOADS, min_size=12, max_size=12))
async def test_a_file_is_uploaded_to_the_path_that_was_meant(
    pool: Pool, recorder: Recorder, shells: list[tuple[str, str]], tmp_path: Path, payloads: list[str]
) -> None:
    (tmp_path / "one").write_bytes(b"x")
    file = LocalFile(tmp_path / "one")
    names = {payload.replace("/", "")[:60] or "x" for payload in [*HOSTILE, *payloads]} - {".", ".."}
    for name in names:
        await upload(pool, recorder.host, file, f"{tmp_path}/there/{name}", lambda _: None)
    file.close()
    commands = recorder.taken()

    for program, path in shells:
        (tmp_path / "there").mkdir()
        script = 'sh() { eval "$2"; }\n' + "\n".join(f"{command} </dev/null" for command in commands)
        _run(program, path, script, tmp_path)
        assert {entry.name for entry in (tmp_path / "there").iterdir()} == names
        for entry in (tmp_path / "there").iterdir():
            entry.unlink()
        (tmp_path / "there").rmdir()
    assert not list(tmp_path.rglob("canary"))


@pytest.mark.parametrize("payload", HOSTILE)
async def test_tasks_and_settings_are_in_no_command(pool: Pool, recorder: Recorder, payload: str) -> None:
    order = Order(new_job_id(), payload.encode(), 60, 4, 1 << 20, {"A": payload.replace("\n", " ")})
    job = order.job_id
    for call in (contract.start(pool, recorder.host, "pi", order), contract.wait(pool, recorder.host, "pi", job)):
        with suppress(HostError):
            async with call:
                pass
    with suppress(HostError):
        await contract.forget(pool, recorder.host, "pi", [job, job])
    commands = recorder.taken()
    assert len(commands) == 3
    assert [command for command in commands if not PLAIN.fullmatch(command)] == []


async def test_putting_the_runner_there_needs_no_more_than_plain_words(pool: Pool, recorder: Recorder) -> None:
    with suppress(HostError):
        await install_runner(pool, recorder.host, "pi-4.lan_1")
    (command,) = recorder.taken()
    assert re.fullmatch(r"sh -c '[^'\\`!]+'", command)


@settings(max_examples=20)
@given(command=PAYLOADS, args=st.lists(PAYLOADS, max_size=3))
def test_what_a_user_is_told_to_paste_is_one_command(
    shells: list[tuple[str, str]], tmp_path: Path, command: str, args: list[str]
) -> None:
    client = Client("x", "X", Path("x"), (), "", add="sh add")
    line = client.own_command(Launch(command, tuple(args)))
    for program, path in shells:
        assert _read_by(program, path, [line], tmp_path) == [["add", command, *args]]
    assert not list(tmp_path.rglob("canary"))


def _known(stamp: str) -> Facts:
    return Facts(name="pi", boot_id="-", load=0, stamp=stamp)


def _read_by(program: str, path: str, commands: list[str], folder: Path) -> list[list[str]]:
    """The words of each command as a shell reads them, `sh` being what writes down its own."""
    # A zero byte stands in no argument; two of them end a command.
    recording = "sh() { for word; do printf '%s\\0' \"x$word\"; done; printf '\\0'; }\n"
    printed = _run(program, path, recording + "\n".join(commands), folder)
    lines = printed.split("\0\0")[:-1]
    return [[word[1:] for word in line.split("\0")] for line in lines]


def _run(program: str, path: str, script: str, folder: Path) -> str:
    done = subprocess.run(
        [program], input=script.encode(), env={"PATH": path}, cwd=folder, capture_output=True, timeout=30, check=True
    )
    assert not done.stderr, done.stderr
    return done.stdout.decode()
