"""kill -9 of the controller at every step of a deploy: the old worker works on, and the next deploy finishes."""

from __future__ import annotations

import multiprocessing
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from tests.deploy_site import KEY, KEY_VARIABLE, NAME, REPOSITORY, DeploySite, holding
from tests.deploying_child import deploy

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.rollout import Outcome
from picoclaw_fleet.worker.probe import PicoclawState

STEPS = (
    *("survey", "lock", "upload", "verify", "settings", "trial", "onboard", "env"),
    *("path", "switch", "ready", "tidy", "manifest", "read back"),
)
FORKS = multiprocessing.get_context("forkserver")
"""Its processes are forked from one that has imported all that they need; a new Python would take a second for that."""

FORKS.set_forkserver_preload(["picoclaw_fleet.fleet"])


def deploy_until(site: DeploySite, host: Host, version: str, step: str) -> list[str]:
    """Deploys in a process of its own, killed as soon as it is seen at that step or behind it.

    A quick step may pass unseen, since progress shows where it is and not where it has been.

    Returns:
        The steps that it was seen at; the last is no step but the outcome when it was done before it could be killed.
    """
    fatal = STEPS[STEPS.index(step) :]
    told, telling = FORKS.Pipe(duplex=False)
    order = (host, REPOSITORY, site.github.api, site.folder / "cache", version, {KEY_VARIABLE: KEY})
    child = FORKS.Process(target=deploy, args=(*order, telling))
    child.start()
    telling.close()
    steps: list[str] = []
    with told, suppress(EOFError):
        while not steps or steps[-1] not in fatal:
            steps.append(told.recv())
        child.kill()
    child.join(40)
    child.close()
    return steps


@pytest.mark.parametrize("start", range(5))
async def test_a_crash_at_any_step_leaves_a_worker_and_the_next_deploy_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: int
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    async with DeploySite(tmp_path) as site:
        for version in ("0.2.4", "0.2.9"):
            site.publish(version)
        host, versions = site.host(), ["0.2.4", "0.2.9"]
        await site.deploy([host], version=versions[0])
        for step in STEPS[start::5]:
            old, new = versions
            while (await to_thread.run_sync(deploy_until, site, host, new, step))[-1] not in STEPS:
                old, new = new, old

            view = await site.board.look(host, anew=True)
            assert view.facts is not None
            assert view.facts.picoclaw is PicoclawState.READY, (step, view.facts.detail)
            assert view.facts.version in (old, new), step
            (result,) = await site.deploy([host], version=new)

            assert result.outcome in (Outcome.UPGRADED, Outcome.UNCHANGED), (step, result.message)
            assert (site.fleet() / "current/picoclaw").read_bytes() != b""
            await nothing_is_left_of_it(site, step)
            versions = [new, old]


async def nothing_is_left_of_it(site: DeploySite, step: str) -> None:
    fleet = site.fleet()
    in_use = (fleet / "current").readlink().name
    left = sorted(path.name for path in fleet.iterdir() if path.name not in ("jobs", "running"))
    assert left == ["current", "manifest", "versions"], step
    assert [path.name for path in (fleet / "versions").iterdir()] == [in_use], step
    assert holding(site.home(), KEY) == [".picoclaw/.env", f".picoclaw/fleet/{NAME}/versions/{in_use}/.security.yml"], (
        step
    )


async def test_a_crash_of_the_first_deploy_is_made_good_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    async with DeploySite(tmp_path) as site:
        site.publish("0.2.9")
        host = site.host()
        for step in ("upload", "settings", "onboard", "switch"):
            assert (await to_thread.run_sync(deploy_until, site, host, "0.2.9", step))[-1] in STEPS
            (result,) = await site.deploy([host])
            assert result.outcome in (Outcome.INSTALLED, Outcome.UPGRADED), (step, result.message)
            await nothing_is_left_of_it(site, step)
            (result,) = await site.teardown([host], purge=True)
            assert [path.name for path in site.home().rglob("*")] == [], step


async def test_a_controller_that_was_stopped_waits_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock of a process that is gone is free at once on the machine where it ran."""
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    async with DeploySite(tmp_path, patience=0) as site:
        site.publish("0.2.9")
        host = site.host()
        await to_thread.run_sync(deploy_until, site, host, "0.2.9", "upload")
        assert (site.fleet() / "lock").exists()
        with anyio.fail_after(30):
            (result,) = await site.deploy([host])
        assert result.outcome is Outcome.INSTALLED, result.message
