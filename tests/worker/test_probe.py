"""The probe: what one round trip tells of a host, without leaving a trace there."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
import pytest
from tests.deploy_site import HomelySshServer
from tests.servers import ClientKey, required
from tests.standin import API_KEY, configure, install, runs
from tests.worker.site import processes_with, stamp_of, wait_for_exit

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError
from picoclaw_fleet.transport import Pool
from picoclaw_fleet.worker import contract
from picoclaw_fleet.worker.probe import FULL_LOOK_SECONDS, Facts, PicoclawState, probe

SECONDS = 30
FOREIGN_SHELLS = ("tcsh", "fish")


@dataclass
class Probed:
    pool: Pool
    host: Host
    home: Path

    async def probe(self, known: Facts | None = None) -> Facts:
        with anyio.fail_after(SECONDS):
            return await probe(self.pool, self.host, known)

    async def look_again(self, known: Facts) -> Facts:
        """As it is when the last full look is long ago."""
        return await self.probe(replace(known, looked_at=known.looked_at - FULL_LOOK_SECONDS))

    @property
    def dry_runs(self) -> int:
        """How often PicoClaw was asked for its model."""
        return len(runs(self.home / "dry-runs"))

    def listing(self) -> dict[str, tuple[int, int, bytes]]:
        """All that lies in the home but for what PicoClaw itself makes: the folders of its workspace."""
        return {
            str(path.relative_to(self.home)): (
                path.lstat().st_mode,
                path.lstat().st_mtime_ns,
                path.read_bytes() if path.is_file() else b"",
            )
            for path in self.home.rglob("*")
            if ".picoclaw/workspace" not in str(path) and path != self.home / ".picoclaw"
        }


class ShellServer(HomelySshServer):
    """Its user has another shell, or no word about it."""

    def __init__(self, folder: Path, *, shell: str, authorized_key: str) -> None:
        super().__init__(folder, sparse=False, authorized_key=authorized_key)
        self._shell = shell

    def _guard(self, name: str, shell: str) -> Path:
        return super()._guard(name, self._shell)


def install_script(file: Path, commands: str) -> None:
    file.unlink(missing_ok=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{commands}\n")
    file.chmod(0o755)


@pytest.fixture
def key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ClientKey:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return ClientKey.make(tmp_path / "keys")


@pytest.fixture(params=["usual", "busybox"])
async def probed(request: pytest.FixtureRequest, tmp_path: Path, key: ClientKey) -> AsyncIterator[Probed]:
    server = HomelySshServer(tmp_path / "server", authorized_key=key.public, sparse=request.param == "busybox")
    async with server, Pool() as pool:
        yield Probed(pool, server.host(ssh_key=key.path), server.home())


@pytest.fixture
async def with_shell(request: pytest.FixtureRequest, tmp_path: Path, key: ClientKey) -> AsyncIterator[Probed]:
    if request.param in FOREIGN_SHELLS:
        required(request.param)
    server = ShellServer(tmp_path / "server", authorized_key=key.public, shell=request.param)
    async with server, Pool() as pool:
        install(server.home())
        yield Probed(pool, server.host(ssh_key=key.path), server.home())


@pytest.mark.parametrize("version", ["0.1.2", "0.2.4", "0.2.9"])
async def test_a_ready_worker_is_told_with_its_version(probed: Probed, version: str) -> None:
    install(probed.home, version=version)

    facts = await probed.probe()

    assert (facts.picoclaw, facts.version, facts.detail) == (PicoclawState.READY, version, "")
    assert facts.path == str(probed.home / ".local/bin/picoclaw")


@pytest.mark.parametrize("version", ["0.1.2", "0.2.4", "0.2.9"])
async def test_a_worker_without_settings_is_installed_and_says_why_it_is_not_ready(
    probed: Probed, version: str
) -> None:
    install(probed.home, version=version, configured=False)

    facts = await probed.probe()

    assert (facts.picoclaw, facts.version) == (PicoclawState.INSTALLED, version)
    assert facts.detail


async def test_a_host_without_picoclaw_is_told(probed: Probed) -> None:
    facts = await probed.probe()

    assert facts.picoclaw is PicoclawState.MISSING
    assert (facts.path, facts.version, facts.stamp) == ("", "", "")


async def test_the_machine_is_told(probed: Probed) -> None:
    facts = await probed.probe()
    memory = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    disk = os.statvfs(probed.home)

    assert facts.name == os.uname().nodename
    assert facts.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert (facts.system, facts.arch) == (os.uname().sysname, os.uname().machine)
    assert facts.cpus == os.cpu_count()
    assert facts.memory_total_mb == int(memory["MemTotal"].split()[0]) // 1024
    assert facts.memory_free_mb is not None
    assert 0 < facts.memory_free_mb <= int(memory["MemTotal"].split()[0]) // 1024
    assert facts.disk_free_mb is not None
    assert 0 < facts.disk_free_mb <= (disk.f_blocks * disk.f_frsize) >> 20
    assert (facts.running, facts.has_runner) == (0, False)
    assert facts.machine_id[2]


async def test_nothing_is_written_on_the_host(probed: Probed) -> None:
    install(probed.home, knobs={"command_log": "/dev/null"})
    before = probed.listing()

    facts = await probed.probe()
    await probed.look_again(facts)
    await probed.probe(facts)

    assert facts.picoclaw is PicoclawState.READY
    assert probed.listing() == before


async def test_nobody_of_the_probe_is_left_running(probed: Probed) -> None:
    install(probed.home)
    await probed.probe()

    left = list(processes_with(f"HOME={probed.home}"))
    assert await anyio.to_thread.run_sync(wait_for_exit, left, 5) == []


async def test_picoclaw_is_asked_only_once_while_nothing_changes(probed: Probed) -> None:
    install(probed.home, knobs={"command_log": "dry-runs"})

    first = await probed.probe()
    brief = await probed.probe(first)
    again = await probed.look_again(brief)
    for facts in (first, brief, again):
        assert (facts.picoclaw, facts.version, facts.stamp) == (PicoclawState.READY, "0.2.9", first.stamp)
        assert facts.arch == os.uname().machine
    assert probed.dry_runs == 1


@pytest.mark.parametrize("change", ["binary", "key", "config", "config of the same size in the same minute"])
async def test_picoclaw_is_asked_again_when_binary_or_settings_have_changed(probed: Probed, change: str) -> None:
    install(probed.home, knobs={"command_log": "dry-runs"})
    first = await probed.probe()
    config = probed.home / ".picoclaw/config.json"
    if change == "binary":
        install(probed.home, version="0.2.4", configured=False, knobs={"command_log": "dry-runs"})
        configure(probed.home, version="0.2.4")
    elif change == "key":
        security = probed.home / ".picoclaw/.security.yml"
        security.write_text(security.read_text().replace(API_KEY, API_KEY[::-1]))
    elif change == "config":
        config.write_text(config.read_text() + "\n")
    else:
        config.write_text(config.read_text().replace("version", "noisrev", 1))

    again = await probed.look_again(first)

    assert again.stamp != first.stamp
    if change == "binary":
        assert again.version == "0.2.4"
    if change.startswith("config of"):
        assert again.picoclaw is PicoclawState.INSTALLED
    else:
        assert probed.dry_runs == 2


async def test_picoclaw_is_found_to_be_gone(probed: Probed) -> None:
    (install(probed.home)).unlink()
    known = replace(await probed.probe(), picoclaw=PicoclawState.READY, version="0.2.9")

    assert (await probed.look_again(known)).picoclaw is PicoclawState.MISSING


async def test_jobs_and_the_runner_are_counted(probed: Probed) -> None:
    await contract.install_runner(probed.pool, probed.host, os.uname().nodename)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    running = probed.home / contract.fleet_folder(os.uname().nodename) / "running"
    me, nobody, reused = stamp_of(os.getpid()), "999999999-1", f"{os.getpid()}-1"
    for entry in (f"j_a.{boot}.{me}.{nobody}", f"j_b.{boot}.{nobody}.{me}", f"j_c.other.{me}.{me}"):
        (running / entry).touch()
    (running / f"j_d.{boot}.{nobody}.{nobody}").touch()
    (running / f"j_reused.{boot}.{reused}.{reused}").touch()
    (running / f"j_closed.{boot}.{me}.{me}").touch()
    closed = running.parent / "jobs/j_closed/closed"
    closed.parent.mkdir()
    closed.write_text("stopped 1.00\n")

    facts = await probed.probe()

    assert facts.has_runner
    assert facts.running == 2


async def test_a_greeting_of_the_shell_is_dropped(probed: Probed) -> None:
    install(probed.home)
    (probed.home / ".bashrc").write_text("echo Welcome to ended; printf 'no newline'\n")

    assert (await probed.probe()).picoclaw is PicoclawState.READY


@pytest.mark.parametrize("with_shell", FOREIGN_SHELLS, indirect=True)
async def test_the_login_shell_may_be_nothing_like_sh(with_shell: Probed) -> None:
    full = await with_shell.probe()
    brief = await with_shell.probe(full)
    misled = await with_shell.probe(replace(full, sh_like=True))

    assert full.picoclaw is PicoclawState.READY
    assert full.taken_at < brief.taken_at < misled.taken_at
    assert not misled.sh_like


@pytest.mark.parametrize("with_shell", ["unset SHELL; exec sh"], indirect=True)
async def test_nothing_need_be_known_of_the_login_shell(with_shell: Probed) -> None:
    full = await with_shell.probe()
    brief = await with_shell.probe(full)

    assert (full.sh_like, brief.sh_like) == (False, False)
    assert brief.picoclaw is PicoclawState.READY


async def test_a_login_shell_like_sh_is_used_as_it_is(probed: Probed) -> None:
    full = await probed.probe()
    brief = await probed.probe(full)

    assert full.sh_like
    assert brief.sh_like
    assert brief.taken_at > full.taken_at


async def test_two_names_for_one_account_are_told_by_the_machine_id(probed: Probed) -> None:
    first, second = await probed.probe(), await probed.probe()
    assert first.machine_id == second.machine_id


async def test_a_picoclaw_that_refuses_is_told_with_its_words(probed: Probed) -> None:
    install_script(probed.home / ".local/bin/picoclaw", "[ \"$1\" = version ] && exit 1\necho 'never'; exit 3")

    facts = await probed.probe()

    assert (facts.picoclaw, facts.version, facts.detail) == (PicoclawState.INSTALLED, "", "never")


@pytest.mark.parametrize("with_shell", ["PATH=$HOME/bin:$PATH exec sh"], indirect=True)
async def test_a_picoclaw_that_never_answers_is_given_up(with_shell: Probed) -> None:
    home = with_shell.home
    os.mkfifo(home / "hangs")
    # The 20 seconds are over when it hangs.
    install_script(home / "bin/sleep", 'read -r _ <"$HOME/hangs"')
    install_script(home / ".local/bin/picoclaw", 'echo $$ >>"$HOME/asked"; echo >"$HOME/hangs"; exec tail -f /dev/null')

    facts = await with_shell.probe()

    assert (facts.picoclaw, facts.version) == (PicoclawState.INSTALLED, "")
    asked = [int(pid) for pid in (home / "asked").read_text().split()]
    assert len(asked) == 1
    assert await anyio.to_thread.run_sync(wait_for_exit, asked, 5) == []


async def test_a_key_in_what_a_host_says_instead_of_an_answer_is_not_quoted(probed: Probed) -> None:
    key = "gsk_" + "a1B2" * 8
    (probed.home / ".bashrc").write_text(f"echo 'not with {key} here' >&2; exit 1\n")

    with pytest.raises(HostError, match=r"it said: not with \[secret\] here"):
        await probed.probe()
