"""The run contract through real servers: what they do to the processes of a channel and of a connection."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from tests.deploy_site import HomelySshServer
from tests.servers import ClientKey, DropbearServer
from tests.standin import install, runs, set_knobs
from tests.worker.site import DEADLINE, command_of, processes_with, running, wait_for_exit

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.transport import Pool
from picoclaw_fleet.worker import contract
from picoclaw_fleet.worker.contract import (
    RUNNER_NAME,
    Ending,
    JobAbsentError,
    Order,
    RunnerMissingError,
    fleet_folder,
    new_job_id,
    new_nonce,
)

NAME = os.uname().nodename
SECONDS = 30
TASK = "\n'sum' up $(id) 🦞\n".encode()


@dataclass
class Reached:
    """A host behind a real server."""

    pool: Pool
    host: Host
    home: Path
    server: HomelySshServer | DropbearServer

    @property
    def folder(self) -> Path:
        return self.home / fleet_folder(NAME)

    async def run(self, order: Order) -> tuple[Ending, bytes]:
        async with contract.start(self.pool, self.host, NAME, order) as attendance:
            await attendance.started()
            return await self.output(attendance)

    async def wait(self, job_id: str) -> tuple[Ending, bytes]:
        async with contract.wait(self.pool, self.host, NAME, job_id) as attendance:
            await attendance.started()
            return await self.output(attendance)

    async def output(self, attendance: contract.Attendance) -> tuple[Ending, bytes]:
        ending = await attendance.ended()
        out = bytearray()
        await attendance.copy(ending.sizes[0], out.extend)
        return ending, bytes(out)

    async def is_up(self) -> None:
        """Waits until PicoClaw has written to the pipe `up`."""
        async with await anyio.open_file(self.home / "up") as up:
            assert await up.readline() == "up\n"

    def busy(self, seconds: float) -> None:
        os.mkfifo(self.home / "up")
        set_knobs(self.home, log="runs", exec="echo up >$HOME/up", slow=seconds)

    def kill_connections(self) -> None:
        """Kills the server's processes for connections, not the server and not what they have started."""
        for pid in self.server.descendants():
            if command_of(pid).startswith(("sshd", "/usr/sbin/sshd", "dropbear", "/usr/sbin/dropbear")):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
async def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pool]:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    async with Pool() as pool:
        yield pool


@pytest.fixture(params=["openssh", "openssh-busybox", "dropbear"])
async def reached(request: pytest.FixtureRequest, pool: Pool, tmp_path: Path) -> AsyncIterator[Reached]:
    key = ClientKey.make(tmp_path / "keys")
    if request.param == "dropbear":
        server = DropbearServer(tmp_path / "server", authorized_key=key.public)
    else:
        sparse = request.param == "openssh-busybox"
        server = HomelySshServer(tmp_path / "server", authorized_key=key.public, sparse=sparse)
    async with server:
        home = server.home if isinstance(server, DropbearServer) else server.home()
        install(home, knobs={"log": "runs"})
        host = server.host(ssh_key=key.path)
        await contract.install_runner(pool, host, NAME)
        yield Reached(pool, host, home, server)
        ours = [pid for pid in processes_with(f"HOME={home}") if RUNNER_NAME in command_of(pid)]
        assert [command_of(pid) for pid in await anyio.to_thread.run_sync(wait_for_exit, ours)] == []
        assert running(home / fleet_folder(NAME)) == []


def order(task: bytes = TASK, seconds: int = 60, job_id: str = "") -> Order:
    return Order(job_id or new_job_id(), task, seconds, 4, 1 << 20, {"A": "b c", "FOO": "$(x) 'y'"})


async def test_a_job_runs_and_is_attached_to_again(reached: Reached) -> None:
    with anyio.fail_after(SECONDS):
        wanted = order()
        ending, out = await reached.run(wanted)
        assert (ending.outcome, ending.exit_status, ending.stop_verified) == ("exit", 0, True)
        assert out.endswith(b"\n\xf0\x9f\xa6\x9e done: " + TASK + b"\n")
        assert (await reached.run(wanted))[1] == out
        assert (await reached.wait(wanted.job_id))[1] == out
    assert len(runs(reached.home / "runs")) == 1


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
async def test_a_connection_cut_while_sending_starts_nothing(reached: Reached, share: float) -> None:
    wanted = order(b"long task " * 10_000)
    everything = wanted.stdin()
    line = " ".join(
        ["sh", f"{fleet_folder(NAME)}/{RUNNER_NAME}", "start", new_nonce(), wanted.job_id, *wanted.arguments()]
    )
    with anyio.fail_after(SECONDS):
        async with reached.pool.command(reached.host, f"cd; {line}") as command:
            await command.write(everything[: int((len(everything) - 1) * share)])
        # Whoever of the cut call is still there ends by himself.
        ours = [pid for pid in processes_with(f"HOME={reached.home}") if wanted.job_id in command_of(pid)]
        assert await anyio.to_thread.run_sync(wait_for_exit, ours) == []
        assert not (reached.folder / "jobs" / wanted.job_id).exists()
        assert (await reached.run(wanted))[0].outcome == "exit"
    assert len(runs(reached.home / "runs")) == 1


async def test_a_job_outlives_the_death_of_its_connection(reached: Reached) -> None:
    wanted = order()
    reached.busy(0.5)
    with anyio.fail_after(SECONDS):
        with pytest.raises(HostError) as caught:
            async with contract.start(reached.pool, reached.host, NAME, wanted) as attendance:
                await attendance.started()
                await reached.is_up()
                reached.kill_connections()
                await attendance.ended()
        assert caught.value.reason is Reason.LOST_CONTACT

        ending, out = await reached.wait(wanted.job_id)
    assert (ending.outcome, ending.exit_status, ending.stop_verified) == ("exit", 0, True)
    assert TASK in out


async def test_the_deadline_holds_after_the_death_of_the_connection(reached: Reached) -> None:
    wanted = order(seconds=DEADLINE)
    reached.busy(60)
    with anyio.fail_after(SECONDS):
        async with contract.start(reached.pool, reached.host, NAME, wanted) as attendance:
            await attendance.started()
            await reached.is_up()
            reached.kill_connections()
        [run] = runs(reached.home / "runs")
        assert await anyio.to_thread.run_sync(wait_for_exit, [run.pid]) == []
        ending, _ = await reached.wait(wanted.job_id)
    assert (ending.outcome, ending.stop_verified) == ("timed_out", True)


async def test_a_running_job_is_stopped(reached: Reached) -> None:
    wanted = order()
    reached.busy(60)
    with anyio.fail_after(SECONDS):
        async with contract.start(reached.pool, reached.host, NAME, wanted) as waiting:
            await waiting.started()
            await reached.is_up()
            async with contract.stop(reached.pool, reached.host, NAME, wanted.job_id) as stopping:
                assert (await stopping.ended()).outcome == "cancelled"
            assert (await waiting.ended()).outcome == "cancelled"


async def test_channels_that_were_left_do_not_use_up_the_sessions_of_a_connection(reached: Reached) -> None:
    """OpenSSH counts a channel that the client has closed until its process ends."""
    wanted = order()
    reached.busy(60)
    with anyio.fail_after(SECONDS):
        async with contract.start(reached.pool, reached.host, NAME, wanted) as attendance:
            await attendance.started()
        await reached.is_up()
        for _ in range(25):
            async with contract.wait(reached.pool, reached.host, NAME, wanted.job_id) as attendance:
                await attendance.started()
        async with contract.stop(reached.pool, reached.host, NAME, wanted.job_id) as attendance:
            assert (await attendance.ended()).outcome == "cancelled"


async def test_what_is_not_there_is_told(reached: Reached) -> None:
    with anyio.fail_after(SECONDS):
        with pytest.raises(JobAbsentError):
            await reached.wait(new_job_id())
        (reached.folder / RUNNER_NAME).unlink()
        with pytest.raises(RunnerMissingError):
            await reached.wait(new_job_id())
        with pytest.raises(RunnerMissingError):
            await reached.run(order())


async def test_a_greeting_of_the_shell_is_dropped(reached: Reached) -> None:
    """bash reads .bashrc for commands that come over ssh; the others have nothing of the kind."""
    (reached.home / ".bashrc").write_text("echo Welcome; printf 'no newline'\n")
    with anyio.fail_after(SECONDS):
        assert TASK in (await reached.run(order()))[1]


async def test_a_home_that_can_not_be_written_to_is_told_when_the_runner_is_put_there(reached: Reached) -> None:
    (reached.home / "file").write_text("")
    with anyio.fail_after(SECONDS), pytest.raises(HostError) as caught:
        await contract.install_runner(reached.pool, reached.host, "../../file/x")
    assert caught.value.reason is Reason.HOME_NOT_WRITABLE
