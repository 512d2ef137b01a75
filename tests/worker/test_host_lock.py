from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from importlib import resources
from pathlib import Path

import anyio
import pytest
from tests.deploy_site import KEY, KEY_VARIABLE, NAME, DeploySite

from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.rollout import HostProgress
from picoclaw_fleet.worker.host_lock import HostLock, Owner
from picoclaw_fleet.worker.script import INSTALL, Said, run_script

BEGIN = ("begin", "0.2.9", "0" * 64, "1000")
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
STRANGER = "their-laptop:4711:elsewhere:99"


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[DeploySite]:
    async with DeploySite(tmp_path) as site:
        yield site


def lock_of(site: DeploySite, patience: float = 20) -> HostLock:
    return HostLock(site.pool, site.host(), NAME, patience=patience)


async def take(lock: HostLock) -> Said:
    return await lock.take(INSTALL, *BEGIN, on_wait=lambda _: None)


async def run(site: DeploySite, lock: HostLock, *words: str) -> Said:
    return await run_script(site.pool, site.host(), INSTALL, lock.words(*words))


def leave_lock(site: DeploySite, *, silent: float, owner: str = STRANGER, boot: str = BOOT) -> Path:
    """A lock that somebody took, and renewed for the last time that many seconds ago."""
    up = float(Path("/proc/uptime").read_text().split()[0])
    path = site.fleet() / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"theirnonce {boot} {int(up - silent)} {owner}\n")
    return path


async def test_one_holds_it_and_the_other_says_who(site: DeploySite) -> None:
    leave_lock(site, silent=5)
    with pytest.raises(HostError, match=r"their-laptop, process 4711, last heard of \d+ s ago") as caught:
        await take(lock_of(site, patience=0.1))
    assert caught.value.reason is Reason.LOCKED
    assert "theirnonce" in (site.fleet() / "lock").read_text()


async def test_who_waits_gets_it_when_it_is_released(site: DeploySite) -> None:
    first, second = lock_of(site), lock_of(site)
    begun = await take(first)
    waits: list[str] = []
    waiting = anyio.Event()

    def wait(holder: str) -> None:
        waits.append(holder)
        waiting.set()

    async def wait_for_it() -> None:
        assert (await second.take(INSTALL, *BEGIN, on_wait=wait)).first("folder")

    with anyio.fail_after(30):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait_for_it)
            await waiting.wait()
            await run(site, first, "abandon", begun.first("folder").split()[0])
    assert waits[0] == f"{os.uname().nodename}, process {os.getpid()}"


@pytest.mark.parametrize(("silent", "boot"), [(61, BOOT), (5, "another-boot"), (-5000, BOOT)])
async def test_it_is_free_after_a_minute_of_silence_and_after_a_reboot(
    site: DeploySite, silent: float, boot: str
) -> None:
    """A container that is restarted has the boot id of before, and an uptime that begins anew."""
    leave_lock(site, silent=silent, boot=boot)
    assert (await take(lock_of(site, patience=0.1))).first("folder")


async def test_an_empty_lock_as_a_power_cut_leaves_it_is_free(site: DeploySite) -> None:
    leave_lock(site, silent=5).write_text("")
    assert (await take(lock_of(site, patience=0.1))).first("folder")


async def test_of_many_who_see_a_dead_lock_one_gets_it(site: DeploySite) -> None:
    leave_lock(site, silent=100)
    locks = [lock_of(site) for _ in range(6)]
    got: list[Said] = []

    async def contend(lock: HostLock) -> None:
        got.append(await run(site, lock, *BEGIN))

    async with anyio.create_task_group() as tasks:
        for lock in locks:
            tasks.start_soon(contend, lock)

    assert len(got) == len(locks)
    holder = (site.fleet() / "lock").read_text().split()[0]
    still = [not (await run(site, lock, "renew")).failure for lock in locks]
    assert still.count(True) == 1
    assert locks[still.index(True)].words("renew")[2] == holder


async def test_each_change_stops_where_the_lock_is_lost(site: DeploySite) -> None:
    lock = lock_of(site)
    folder = (await take(lock)).first("folder").split()[0]
    incoming = site.fleet() / "versions" / folder / ".picoclaw.new"
    incoming.write_text("#!/bin/sh\necho picoclaw 0.2.9\n")
    leave_lock(site, silent=0)

    for words in (("verify", folder, "0" * 64, "1"), ("renew",), ("install", folder, "0" * 64, "1", "P", "own")):
        assert (await run(site, lock, *words)).failure == ["locked", "somebody", "else", "took", "over"]
    await run(site, lock, "abandon", folder)

    assert "theirnonce" in (site.fleet() / "lock").read_text()
    assert incoming.exists()


def held_lock(home: Path) -> list[str]:
    """Makes a lock that `us` has. Returns the start of a command with the scripts' ground, which reads on behind it."""
    folder = home / ".picoclaw/fleet/host"
    folder.mkdir(parents=True)
    (folder / "lock").write_text("us boot 1 owner\n")
    (folder / "lock.us").hardlink_to(folder / "lock")
    return ["env", "-i", f"HOME={home}", f"PATH={os.environ['PATH']}", "sh", "-c"]


def on_ground(script: str) -> list[str]:
    ground = resources.files("picoclaw_fleet.worker").joinpath("ground.sh").read_text()
    return [f"{ground}\n{script}", "sh", "nonce", "renew", "host", "us", "owner", "-"]


def test_a_step_and_the_renewal_beside_it_do_not_lose_it(tmp_path: Path) -> None:
    again = "i=0; while [ $i -lt 300 ]; do renew && locked_by_us || exit; i=$((i + 1)); done"
    command = [*held_lock(tmp_path), *on_ground(again)]
    with subprocess.Popen(command) as one, subprocess.Popen(command) as other:
        assert (one.wait(40), other.wait(40)) == (0, 0)
    folder = tmp_path / ".picoclaw/fleet/host"
    assert sorted(file.name for file in folder.iterdir()) == ["lock", "lock.us"]
    holder, _, _, owner = (folder / "lock").read_text().split()
    assert (holder, owner) == ("us", "owner")


@pytest.mark.parametrize("next_holder", ["", "they boot 1 others\n"])
def test_a_renewal_that_the_release_overtakes_brings_nothing_back(tmp_path: Path, next_holder: str) -> None:
    folder = tmp_path / ".picoclaw/fleet/host"
    (tmp_path / "next").write_text(next_holder)
    overtaken = """
        looked() { { read -r holder _ <"$lock"; } 2>/dev/null && [ "$holder" = "$me" ]; }
        locked_by_us() {
            looked || return
            rm -f "$lock.$me" "$lock"
            [ ! -s "$HOME/next" ] || cp "$HOME/next" "$lock"
        }
        renew"""
    assert subprocess.run([*held_lock(tmp_path), *on_ground(overtaken)]).returncode == 1
    assert [file.read_text() for file in folder.iterdir()] == ([next_holder] if next_holder else [])


async def test_a_renewal_that_comes_after_the_release_spoils_nothing(
    site: DeploySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("picoclaw_fleet.worker.host_lock.RENEWAL_SECONDS", 0.01)
    lock = lock_of(site)
    folder = (await take(lock)).first("folder").split()[0]
    async with lock.renewed():
        await run(site, lock, "abandon", folder)
        for _ in range(10):  # time enough for it
            assert (await run(site, lock, "renew")).failure


async def test_a_deploy_that_loses_it_while_sending_is_told_by_its_next_step(
    site: DeploySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    site.publish("0.2.9")
    runs = site.rollout.deploy([site.host()], site.releases)

    def take_over(_: str, progress: HostProgress) -> None:
        if progress.step == "upload":
            leave_lock(site, silent=0)

    with anyio.fail_after(30):
        await site.rollout.watch(runs, take_over)

    assert runs[0].result.reason is Reason.LOCKED
    assert "theirnonce" in (site.fleet() / "lock").read_text()
    assert not (site.fleet() / "current").exists()


async def test_an_error_in_the_work_comes_out_as_it_is(site: DeploySite) -> None:
    lock = lock_of(site)
    await take(lock)
    with pytest.raises(HostError, match="of the work"):
        async with lock.renewed():
            raise HostError("of the work", host="one", reason=Reason.NOT_READY)


def test_only_a_process_that_ran_here_can_be_known_to_be_gone() -> None:
    ourselves = Owner.ourselves()
    assert Owner.parse(str(ourselves)) == ourselves
    assert not ourselves.is_dead
    assert replace(ourselves, start="1").is_dead
    assert replace(ourselves, process="4194304").is_dead
    assert not replace(ourselves, process="4194304", space="elsewhere").is_dead
    assert not replace(ourselves, process="4194304", space="").is_dead
    assert Owner.parse("nonsense") is None
