"""teardown.sh: back to where the host was before, whoever put PicoClaw there."""

from __future__ import annotations

import os
from collections.abc import Iterator

import anyio
import pytest
from tests.github import GitHub, picoclaw_files
from tests.servers import required
from tests.skill.desk import GONE, SECONDS, Desk
from tests.skill.test_deploy import ARCH, KEY, UPSTREAM
from tests.skill.worker import Worker
from tests.standin import executable, install


@pytest.fixture
def github(desk: Desk) -> Iterator[GitHub]:
    required("curl")
    with GitHub() as github:
        github.publish(UPSTREAM, "v0.2.9", picoclaw_files(executable()))
        desk.env |= {"PICOCLAW_GITHUB_API": github.api, "ANTHROPIC_API_KEY": KEY}
        yield github


async def test_what_deploy_did_is_undone(desk: Desk, github: GitHub, any_worker: Worker) -> None:
    rc = any_worker.home / ".bashrc"
    rc.write_text("alias ll='ls -l'\n")
    assert (await desk.run("deploy.sh", *any_worker.login, ARCH)).status == 0
    assert ".local/bin" in rc.read_text()

    # The hosts are on this machine, and look for the key in its /tmp.
    done = await desk.run("teardown.sh", *any_worker.login, TMPDIR="/tmp")

    assert done.status == 0, done
    assert "removed: .local/bin/picoclaw\n" in done.out
    assert "holds the key" not in done.out
    assert any_worker.files_with(KEY) == []
    assert [path.name for path in any_worker.fleet.iterdir()] == ["manifest"]  # what purge would have to know
    assert rc.read_text() == "alias ll='ls -l'\n"
    missing = await desk.run("dispatch.sh", *any_worker.login, "hello")
    assert missing.status == 4


async def test_with_purge_goes_what_onboard_made(desk: Desk, github: GitHub, worker: Worker) -> None:
    await desk.run("deploy.sh", *worker.login, ARCH)
    assert (worker.home / ".picoclaw/config.json").exists()
    done = await desk.run("teardown.sh", *worker.login, PICOCLAW_PURGE="1")
    assert done.status == 0, done
    assert not (worker.home / ".picoclaw").exists()


async def test_an_installation_of_the_old_scripts_goes_as_well(desk: Desk, worker: Worker) -> None:
    install(worker.home, configured=False)
    env = worker.home / ".picoclaw/.env"
    env.parent.mkdir()
    env.write_text(f"PROVIDER=anthropic\nANTHROPIC_API_KEY={KEY}\n")

    done = await desk.run("teardown.sh", *worker.login)

    assert done.status == 0, done
    assert not (worker.home / ".local/bin/picoclaw").exists()
    assert not env.exists()


async def test_an_owners_own_picoclaw_is_left_alone(desk: Desk, worker: Worker) -> None:
    worker.with_picoclaw()
    done = await desk.run("teardown.sh", *worker.login)
    assert done.status == 0, done
    assert "nothing of ours is there" in done.out
    assert (worker.home / ".local/bin/picoclaw").exists()
    assert (worker.home / ".picoclaw/config.json").exists()


async def test_nothing_is_torn_down_while_a_job_runs(desk: Desk, github: GitHub, worker: Worker) -> None:
    await desk.run("deploy.sh", *worker.login, ARCH)
    worker.knobs(exec="echo up >$HOME/up", slow=60)
    os.mkfifo(worker.home / "up")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.run, "dispatch.sh", *worker.login, "long")
        with anyio.fail_after(SECONDS):
            await anyio.Path(worker.home / "up").read_text()
        done = await desk.run("teardown.sh", *worker.login)
        assert (done.status, "busy" in done.err) == (11, True), done
        tasks.cancel_scope.cancel()
    assert (worker.fleet / "current/picoclaw").exists()


async def test_a_host_out_of_reach_is_said_to_be(desk: Desk, worker: Worker) -> None:
    desk.add(worker.host, **GONE)
    done = await desk.run("teardown.sh", "gone", worker.host.user)
    assert (done.status, "unreachable" in done.err) == (3, True), done
