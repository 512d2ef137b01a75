"""Teardown on real hosts: what deploy and the old scripts put there goes, what is the owner's stays."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests import standin
from tests.deploy_site import KEY, KEY_VARIABLE, NAME, DeploySite, holding, tree
from tests.faults.hosts import Disk

from picoclaw_fleet.errors import Reason
from picoclaw_fleet.rollout import Outcome
from picoclaw_fleet.worker.contract import Order, install_runner, new_job_id, start

PAUSE = "until [ -e $HOME/go ]; do sleep 0.05; done"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[DeploySite]:
    async with DeploySite(tmp_path) as site:
        site.publish("0.2.9")
        yield site


def files(home: Path) -> dict[str, bytes | str]:
    """A probe's dry run leaves folders behind: PicoClaw makes them."""
    return {name: content for name, content in tree(home).items() if content or not (home / name).is_dir()}


@pytest.mark.parametrize("version", ["0.1.2", "0.2.4", "0.2.9"])
async def test_deploy_and_purge_leave_a_host_as_it_was(tmp_path: Path, version: str) -> None:
    async with DeploySite(tmp_path, hosts=2, sparse=True, dropbear=True) as site:
        site.publish(version)
        hosts = [site.host("sparse"), site.host("usual", 1), site.dropbear_host()]
        homes = [site.home(0), site.home(1), site.dropbear.home]
        for home in homes:
            (home / ".bashrc").write_text("alias ll='ls -l'\n")
        before = [tree(home) for home in homes]
        await site.deploy(hosts)

        results = await site.teardown(hosts, purge=True)

        assert [(result.outcome, result.kept, result.message) for result in results] == [(Outcome.REMOVED, (), "")] * 3
        assert [tree(home) for home in homes] == before
        for result in results:
            assert {".local/bin/picoclaw", ".picoclaw/.env", f".picoclaw/fleet/{NAME}"} <= set(result.removed)


async def test_without_purge_what_onboard_made_stays_and_a_purge_finds_it_later(site: DeploySite) -> None:
    host, home = site.host(), site.home()
    await site.deploy([host])

    (plain,) = await site.teardown([host])

    assert (home / ".picoclaw/workspace/SOUL.md").exists()
    assert holding(home, KEY) == []
    assert any("purge" in line for line in plain.kept)
    (again,) = await site.teardown([host])
    assert again.outcome is Outcome.UNCHANGED
    (home / ".picoclaw/workspace/SOUL.md").write_text("what the owner made of it\n")
    (purged,) = await site.teardown([host], purge=True)
    assert sorted(files(home)) == [f".picoclaw/fleet/{NAME}/manifest", ".picoclaw/workspace/SOUL.md"]
    assert any("SOUL.md" in line for line in purged.kept)
    assert (home / ".picoclaw/workspace/SOUL.md").read_text() == "what the owner made of it\n"


async def test_a_bare_host_has_nothing_to_remove(site: DeploySite) -> None:
    (result,) = await site.teardown([site.host()])
    assert (result.outcome, result.removed) == (Outcome.UNCHANGED, ())
    assert tree(site.home()) == {}


@pytest.mark.parametrize("purge", [False, True])
async def test_what_is_the_owner_s_stays_byte_for_byte(site: DeploySite, purge: bool) -> None:
    host, home = site.host(), site.home()
    standin.install(home)
    (home / ".picoclaw/workspace").mkdir()
    (home / ".picoclaw/workspace/MEMORY.md").write_text("the owner's\n")
    (home / ".picoclaw/.env").write_text("OTHER=value\n")
    (home / ".picoclaw/auth.json").write_text("{}\n")
    before = files(home)
    await site.deploy([host])

    (result,) = await site.teardown([host], purge=purge)

    assert files(home) == before
    assert {".local/bin/picoclaw", ".picoclaw/.env"} <= {line.partition(":")[0] for line in result.kept}


@pytest.mark.parametrize("lines", [2_000, 100_000])
@pytest.mark.parametrize("free_kb", [0, 8, 24])
async def test_the_owner_s_lines_survive_a_disk_with_hardly_any_room(
    site: DeploySite, free_kb: int, lines: int
) -> None:
    host, home = site.host(), site.home()
    home.rmdir()
    with Disk(home, "64m") as disk:
        if not disk.is_mounted:
            pytest.skip("a small disk can't be mounted here")
        # As Debian's begins: a shell that nobody types into reads no further.
        owner_s = '[ -n "$PS1" ] || return\n' + "".join(f"alias a{number}='ls -l'\n" for number in range(lines))
        (home / ".bashrc").write_text(owner_s)
        (deployed,) = await site.deploy([host])
        assert deployed.outcome is Outcome.INSTALLED
        disk.fill()
        ballast = home / "ballast"
        os.truncate(ballast, ballast.stat().st_size - (free_kb << 10))

        (result,) = await site.teardown([host])

        left = (home / ".bashrc").read_text()
        assert left.startswith(owner_s)
        assert sorted(home.glob(".bashrc?*")) == []
        if not free_kb:
            assert result.reason is Reason.DISK_FULL
            assert "Free some space" in result.next_step
            disk.relieve()
            (result,) = await site.teardown([host])
            left = (home / ".bashrc").read_text()
        assert result.outcome is Outcome.REMOVED
        assert (left == owner_s) is (".bashrc: the PATH line can't be removed" not in result.kept)
        assert left == owner_s or lines > 2_000


async def test_an_owner_s_file_that_holds_the_same_key_is_named(site: DeploySite) -> None:
    host, home = site.host(), site.home()
    standin.install(home)
    security = home / ".picoclaw/.security.yml"
    security.write_text(security.read_text().replace(standin.API_KEY, KEY))
    await site.deploy([host])
    (result,) = await site.teardown([host])
    assert ".picoclaw/.security.yml: it holds the key, and is not ours" in result.kept
    assert holding(home, KEY) == [".picoclaw/.security.yml"]


async def test_a_file_whose_name_holds_a_key_is_told_of_without_it(site: DeploySite) -> None:
    host, home = site.host(), site.home()
    await site.deploy([host])
    (home / f".picoclaw/{KEY}.txt").write_text(f"{KEY}\n")
    (result,) = await site.teardown([host])
    assert ".picoclaw/[secret].txt: it holds the key, and is not ours" in result.kept
    assert KEY not in repr(result)


async def test_the_key_is_looked_for_also_where_it_is_not_known_any_more(
    site: DeploySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, home = site.host(), site.home()
    await site.deploy([host])
    (home / ".picoclaw/notes.txt").write_text(f"my key is {KEY}\n")
    monkeypatch.delenv(KEY_VARIABLE)
    (result,) = await site.teardown([host])
    assert ".picoclaw/notes.txt: it holds the key, and is not ours" in result.kept


async def test_another_fleet_s_pipes_hold_up_no_search_for_the_key(tmp_path: Path) -> None:
    """BusyBox's grep reads them, and waits for somebody who writes."""
    async with DeploySite(tmp_path, sparse=True) as site:
        site.publish("0.2.9")
        host, home = site.host("sparse"), site.home()
        await site.deploy([host])
        other = home / ".picoclaw/fleet/other/blank"
        other.mkdir(parents=True)
        os.mkfifo(other / "live")
        for number in range(120):
            (other / f"{number} notes").write_text(f"key: {KEY}\n" if number % 50 == 0 else "nothing\n")

        (result,) = await site.teardown([host])

        assert result.outcome is Outcome.REMOVED
        assert sum("it holds the key, and is not ours" in line for line in result.kept) == 3
        assert result.message == ""


async def test_it_is_busy_while_jobs_run_and_names_them(site: DeploySite) -> None:
    host, home = site.host(), site.home()
    await site.deploy([host])
    standin.set_knobs(home, exec=PAUSE)
    await install_runner(site.pool, host, NAME)
    order = Order(new_job_id(), b"wait", 30, 4, 1 << 20, {})
    async with start(site.pool, host, NAME, order) as attendance:
        await attendance.started()
        (result,) = await site.teardown([host])
        assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.BUSY)
        assert order.job_id in result.message
        assert result.next_step == "Wait for their end, or cancel them; then tear down again."
        assert (site.fleet() / "current/picoclaw").exists()
        (home / "go").touch()
        assert (await attendance.ended()).exit_status == 0
    (result,) = await site.teardown([host])
    assert result.outcome is Outcome.REMOVED


async def test_a_job_whose_pids_are_somebody_else_s_by_now_keeps_nobody_from_it(site: DeploySite) -> None:
    """A container that is restarted has the boot id of before, and gives out the same pids again."""
    host = site.host()
    await site.deploy([host])
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    entry = site.fleet() / f"running/j_old.{boot}.{os.getpid()}-1.{os.getpid()}-1"
    entry.touch()
    (result,) = await site.teardown([host])
    assert result.outcome is Outcome.REMOVED


async def test_where_one_died_while_it_looked_for_jobs_the_next_one_that_is_busy_leaves_a_worker(
    site: DeploySite,
) -> None:
    host, home = site.host(), site.home()
    await site.deploy([host])
    standin.set_knobs(home, exec=PAUSE)
    await install_runner(site.pool, host, NAME)
    order = Order(new_job_id(), b"wait", 30, 4, 1 << 20, {})
    async with start(site.pool, host, NAME, order) as attendance:
        await attendance.started()
        (site.fleet() / "current").rename(site.fleet() / "away")
        (result,) = await site.teardown([host])
        assert result.reason is Reason.BUSY
        assert (site.fleet() / "current/picoclaw").exists()
        (home / "go").touch()
        await attendance.ended()


async def test_a_gateway_that_runs_from_there_is_not_cut_off(site: DeploySite) -> None:
    host, home = site.host(), site.home()
    await site.deploy([host])
    before = tree(home)
    with _gateway(home) as pid:
        (result,) = await site.teardown([host])
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.BUSY)
    assert str(pid) in result.message
    assert {name: tree(home).get(name) for name in before} == before
    (result,) = await site.teardown([host])
    assert result.outcome is Outcome.REMOVED


@contextmanager
def _gateway(home: Path) -> Generator[int]:
    """A process whose command line is that of a gateway."""
    binary = home / ".local/bin/picoclaw"
    with subprocess.Popen(["sh", "-c", 'read -r _; : "$@"', str(binary), "gateway"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.kill()


async def test_a_host_of_the_old_scripts_is_cleared(site: DeploySite) -> None:
    host, home = site.host(), site.home()
    standin.install(home, configured=False)
    (home / ".picoclaw").mkdir()
    (home / ".picoclaw/.env").write_text(f"PROVIDER=anthropic\n{KEY_VARIABLE}={KEY}\n")
    knobs = ".fake-picoclaw.json"

    (result,) = await site.teardown([host])

    assert result.outcome is Outcome.REMOVED
    assert set(tree(home)) <= {knobs, ".local", ".local/bin"}
    assert holding(home, KEY) == []


async def test_a_host_of_the_old_scripts_can_be_deployed_to_and_cleared(site: DeploySite) -> None:
    host, home = site.host(), site.home()
    standin.install(home, version="0.2.4", configured=False)
    (home / ".picoclaw").mkdir()
    (home / ".picoclaw/.env").write_text(f"PROVIDER=anthropic\n{KEY_VARIABLE}=the-old-key-of-then\n")
    (deployed,) = await site.deploy([host])
    assert deployed.outcome is Outcome.INSTALLED
    assert holding(home, "the-old-key-of-then") == []

    (result,) = await site.teardown([host], purge=True)

    assert ".local/bin/picoclaw" in result.removed
    assert set(tree(home)) <= {".fake-picoclaw.json", ".local", ".local/bin"}


async def test_somebody_s_own_binary_without_a_record_is_not_touched(site: DeploySite) -> None:
    host, home = site.host(), site.home()
    standin.install(home)
    before = files(home)
    (result,) = await site.teardown([host], purge=True)
    assert result.outcome is Outcome.UNCHANGED
    assert files(home) == before
    assert os.access(home / ".local/bin/picoclaw", os.X_OK)
