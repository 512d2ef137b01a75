"""Deploy to many hosts: canary, single flight, and one that fails stops nobody."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest
from tests import standin
from tests.deploy_site import BROKEN, KEY, KEY_VARIABLE, REPOSITORY, UPSTREAM, DeploySite, tree
from tests.github import Fault
from tests.jobs.scenario import until

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import Reason, UsageError
from picoclaw_fleet.rollout import HostProgress, HostRun, Outcome


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[DeploySite]:
    async with DeploySite(tmp_path, hosts=4) as site:
        site.publish("0.2.9")
        yield site


def hosts_of(site: DeploySite) -> list[Host]:
    return [site.host(name, number) for number, name in enumerate(("one", "two", "three", "four"))]


async def test_many_hosts_at_once_with_steps_and_bytes(site: DeploySite) -> None:
    seen: dict[str, list[HostProgress]] = {}
    hosts = hosts_of(site)
    runs = site.rollout.deploy(hosts, site.releases)
    with anyio.fail_after(45):
        await site.rollout.watch(runs, lambda name, progress: seen.setdefault(name, []).append(progress))

    size = len(standin.executable("0.2.9"))
    assert [run.result.outcome for run in runs] == [Outcome.INSTALLED] * 4
    assert {run.result.source for run in runs} == {REPOSITORY}
    for host in hosts:
        steps = seen[host.name]
        assert HostProgress("upload", size, size) in steps
        assert steps[-1].step == "installed"
    assert (
        site.github.downloads("picoclaw_Linux_x86_64.tar.gz") + site.github.downloads("picoclaw_Linux_arm64.tar.gz")
        == 1
    )


async def test_the_canary_keeps_a_bad_release_from_the_others(site: DeploySite) -> None:
    site.publish("0.2.10", BROKEN)
    hosts = hosts_of(site)

    results = await site.deploy(hosts)

    reasons = [result.reason for result in results]
    assert reasons.count(Reason.NOT_READY) == 1
    assert reasons.count(Reason.CANARY_FAILED) == 3
    for number, reason in enumerate(reasons):
        if reason is Reason.CANARY_FAILED:
            assert tree(site.home(number)) == {}
    canary = hosts[reasons.index(Reason.NOT_READY)].name
    assert all(canary in result.message for result in results)


async def test_force_asks_no_canary(site: DeploySite) -> None:
    site.publish("0.2.10", BROKEN)
    results = await site.deploy(hosts_of(site), force=True)
    assert [result.reason for result in results] == [Reason.NOT_READY] * 4


async def test_a_canary_out_of_reach_or_out_of_room_is_replaced_by_the_next(site: DeploySite) -> None:
    one, two, three, _ = hosts_of(site)
    gone = replace(one, port=1)
    (site.home(1) / ".picoclaw").write_text("a file where a folder has to be")

    results = await site.deploy([gone, two, three])

    assert [result.reason for result in results] == [Reason.UNREACHABLE, Reason.HOME_NOT_WRITABLE, None]
    assert results[2].outcome is Outcome.INSTALLED


async def test_an_owner_s_settings_speak_against_no_release(site: DeploySite) -> None:
    site.publish("0.1.2")
    for number in range(2):
        config = site.home(number) / ".picoclaw/config.json"
        config.parent.mkdir()
        config.write_text('{"agents": {"defaults": {"provider": "openai", "model": "gpt-4o"}}}')

    results = await site.deploy(hosts_of(site)[:2])

    assert [result.reason for result in results] == [Reason.NOT_READY] * 2
    for result in results:
        assert "~/.picoclaw/config.json" in result.message
        assert "fleet config" not in result.next_step


async def test_each_source_has_a_canary_of_its_own(site: DeploySite) -> None:
    local = site.folder / "picoclaw"
    local.write_bytes(standin.executable("0.2.4"))
    (result,) = await site.deploy(hosts_of(site)[:1], local=local)
    assert (result.outcome, result.version, result.source) == (Outcome.INSTALLED, "0.2.4", "local")
    site.publish("0.3.1", repository=UPSTREAM)
    (result,) = await site.deploy(hosts_of(site)[1:2], version="0.3.1")
    assert (result.outcome, result.source) == (Outcome.INSTALLED, UPSTREAM)


async def test_what_can_t_be_fetched_for_want_of_a_setting_or_a_file_of_ours_names_it(
    site: DeploySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = hosts_of(site)[0]
    (missing,) = await site.deploy([host], local=site.folder / "missing")
    assert "missing isn't a file" in missing.message
    monkeypatch.setenv("HTTPS_PROXY", "gopher://proxy")
    (proxy,) = await site.deploy([host])
    assert "HTTPS_PROXY" in proxy.next_step
    assert (missing.reason, proxy.reason) == (Reason.NO_RELEASE, Reason.NO_RELEASE)


async def test_a_host_that_is_named_is_looked_at_whatever_a_deploy_to_those_not_ready_has_found(
    site: DeploySite,
) -> None:
    host = hosts_of(site)[0]
    await site.deploy([host])
    site.rollout.deploy([host], site.releases, unready_only=True)
    (joined,) = await site.deploy([host])
    assert (joined.outcome, joined.version) == (Outcome.UNCHANGED, "0.2.9")

    (unnamed,) = site.rollout.deploy([host], site.releases, unready_only=True)
    await until(partial(_ended, unnamed))
    assert unnamed.was_ready
    (named,) = await site.deploy([host])
    assert (named.outcome, named.version) == (Outcome.UNCHANGED, "0.2.9")


async def _ended(run: HostRun) -> bool:
    return run.finished


async def test_one_call_installs_one_binary_though_the_file_changes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("picoclaw_fleet.rollout.rollout.HOSTS", 1)
    async with DeploySite(tmp_path, hosts=2) as site:
        local = site.folder / "picoclaw"
        local.write_bytes(standin.executable("0.2.4"))
        runs = site.rollout.deploy([site.host(), site.host("two", 1)], site.releases, local=local)

        def change(name: str, progress: HostProgress) -> None:
            if progress.step == "upload":
                local.write_bytes(standin.executable("0.2.9"))

        with anyio.fail_after(45):
            await site.rollout.watch(runs, change)

        assert [run.result.version for run in runs] == ["0.2.4", "0.2.4"]
        (again,) = await site.deploy([site.host()], local=local)
        assert again.version == "0.2.9"


async def test_a_cache_that_is_removed_meanwhile_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("picoclaw_fleet.rollout.rollout.HOSTS", 1)
    async with DeploySite(tmp_path, hosts=2) as site:
        site.publish("0.2.9")
        hosts = [site.host(), site.host("two", 1)]
        runs = site.rollout.deploy(hosts, site.releases)

        def remove(name: str, progress: HostProgress) -> None:
            if progress.step == "upload":
                shutil.rmtree(site.folder / "cache", ignore_errors=True)

        with anyio.fail_after(45):
            await site.rollout.watch(runs, remove)

        assert sorted(str(run.result.reason) for run in runs) == ["None", Reason.NO_RELEASE]
        failed = next(run.result for run in runs if run.result.reason)
        assert str(site.folder / "cache") in failed.message
        assert "Deploy again" in failed.next_step
        assert [result.reason for result in await site.deploy(hosts)] == [None, None]


async def test_a_missing_key_is_named_before_any_host_is_touched(
    site: DeploySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE)
    runs = site.rollout.deploy(hosts_of(site), site.releases)
    for run in runs:
        assert (run.result.outcome, run.result.reason) == (Outcome.FAILED, Reason.KEY_MISSING)
        assert KEY_VARIABLE in run.result.message
    assert site.server.count("Connection from") == 0


async def test_a_call_that_stops_waiting_stops_nothing_and_the_same_call_joins(site: DeploySite) -> None:
    host = site.host()
    site.github.download_fault = Fault.STALLED
    runs = site.rollout.deploy([host], site.releases)
    with anyio.move_on_after(0.2):
        await site.rollout.watch(runs)
    assert runs[0].result.outcome is Outcome.IN_PROGRESS

    assert site.rollout.deploy([host], site.releases) == runs
    (other,) = site.rollout.teardown([host])
    assert (other.result.outcome, other.result.reason) == (Outcome.FAILED, Reason.LOCKED)

    site.github.resume.set()
    assert [result.outcome for result in await site.see(runs)] == [Outcome.INSTALLED]


async def test_where_picoclaw_is_ready_nothing_is_done_when_only_others_are_meant(
    site: DeploySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, bare, *_ = hosts_of(site)
    assert (await site.deploy([ready]))[0].version == "0.2.9"
    site.publish("0.2.10")
    before = tree(site.home())

    runs = site.rollout.deploy([ready, bare], site.releases, unready_only=True)
    results = await site.see(runs)

    assert [run.was_ready for run in runs] == [True, False]
    assert [(result.outcome, result.version) for result in results] == [
        (Outcome.UNCHANGED, ""),
        (Outcome.INSTALLED, "0.2.10"),
    ]
    assert tree(site.home()) == before
    monkeypatch.delenv(KEY_VARIABLE)
    (no_key_needed,) = await site.see(site.rollout.deploy([ready], site.releases, unready_only=True))
    assert no_key_needed.reason is None
    (key_missing,) = await site.see(site.rollout.deploy(hosts_of(site)[2:3], site.releases, unready_only=True))
    assert key_missing.reason is Reason.KEY_MISSING


async def test_a_binary_that_teardown_leaves_is_named_once(site: DeploySite) -> None:
    standin.install(site.home())
    (unasked,) = await site.see(site.rollout.teardown([site.host()]))
    assert unasked.kept == (f"{site.home()}/.local/bin/picoclaw: a PicoClaw that deploy did not put there",)
    await site.deploy([site.host()])
    (left,) = await site.see(site.rollout.teardown([site.host()]))
    assert [line for line in left.kept if "bin/picoclaw" in line] == [
        ".local/bin/picoclaw: deploy did not put it there"
    ]


async def test_a_host_that_is_not_ready_is_looked_at_once(site: DeploySite) -> None:
    runs = site.rollout.deploy(hosts_of(site)[:1], site.releases, version="9.9.9", unready_only=True)
    (failed,) = await site.see(runs)
    assert failed.reason is Reason.NO_RELEASE
    assert site.server.count("Starting session") == 1


async def test_the_end_that_nobody_saw_is_told_once(site: DeploySite) -> None:
    host = site.host()
    (run,) = site.rollout.deploy([host], site.releases)
    other = site.host("other", 1)
    with anyio.fail_after(45):
        while not run.finished:  # each deploy of the other takes a while
            await site.see(site.rollout.deploy([other], site.releases))
    assert [result.outcome for result in await site.deploy([host])] == [Outcome.INSTALLED]
    assert [result.outcome for result in await site.deploy([host])] == [Outcome.UNCHANGED]


async def test_an_end_is_not_seen_by_a_call_that_was_cancelled(site: DeploySite) -> None:
    one, two, *_ = hosts_of(site)
    await site.deploy([one, two])
    with anyio.CancelScope() as call:
        runs = site.rollout.teardown([one, two])

        def cancel(name: str, progress: HostProgress) -> None:
            if progress.step == "removed":
                call.cancel()

        await site.rollout.watch(runs, cancel)
    assert call.cancelled_caught
    assert [result.outcome for result in await site.teardown([one, two])] == [Outcome.REMOVED] * 2


async def test_a_release_that_can_t_be_had_is_each_host_s_result(site: DeploySite) -> None:
    results = await site.deploy(hosts_of(site)[:2], version="9.9.9")
    assert [(result.outcome, result.reason) for result in results] == [(Outcome.FAILED, Reason.NO_RELEASE)] * 2


async def test_a_path_is_no_version(site: DeploySite) -> None:
    with pytest.raises(UsageError):
        site.rollout.deploy([site.host()], site.releases, version="/etc/passwd")


async def test_teardown_of_many_hosts(site: DeploySite) -> None:
    hosts = hosts_of(site)
    await site.deploy(hosts[:3])
    results = await site.teardown([*hosts, replace(hosts[0], name="gone", port=1)], purge=True)
    assert [result.outcome for result in results] == [
        *[Outcome.REMOVED] * 3,
        Outcome.UNCHANGED,
        Outcome.FAILED,
    ]
    assert [tree(site.home(number)) for number in range(4)] == [{}] * 4
