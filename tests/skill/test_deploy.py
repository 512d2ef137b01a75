"""deploy.sh: from a bare host to a worker that answers, and again."""

from __future__ import annotations

import os
import platform
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.github import Fault, GitHub, member, picoclaw_files, tar_gz
from tests.servers import required
from tests.skill.desk import Desk
from tests.skill.watch import Watch
from tests.skill.worker import Worker
from tests.standin import executable
from tests.standin.mock_llm import MockLLM
from tests.worker.test_runner_disk import mounted, only_root

KEY = "sk-test-4f8a1c55d0b94e7f"
ARCH = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
WORD = {"amd64": "x86_64"}.get(ARCH, ARCH)
ASSET = f"picoclaw_Linux_{WORD}.tar.gz"
OURS = "EricGrill/picoclaw"
UPSTREAM = "sipeed/picoclaw"


@pytest.fixture
def llm() -> Iterator[MockLLM]:
    with MockLLM() as server:
        yield server


@pytest.fixture
def github(desk: Desk, llm: MockLLM) -> Iterator[GitHub]:
    """A release of the latest persona at upstream, and settings for a model's server of the tests."""
    required("curl")
    with GitHub() as github:
        github.publish(UPSTREAM, "v0.2.9", picoclaw_files(executable("0.2.9")))
        desk.defaults |= {"provider": "openai", "api_base": llm.base_url, "model": "tiny", "api_key_env": "MY_KEY"}
        desk.env |= {"PICOCLAW_GITHUB_API": github.api, "MY_KEY": KEY}
        yield github


async def test_a_bare_host_becomes_a_worker_that_answers(
    desk: Desk, github: GitHub, llm: MockLLM, any_worker: Worker
) -> None:
    desk.write()
    done = await desk.run("deploy.sh", *any_worker.login, ARCH)
    assert done.status == 0, done
    assert "installed, PicoClaw 0.2.9 from sipeed/picoclaw v0.2.9, by its digest" in done.out

    answer = await desk.run("dispatch.sh", *any_worker.login, "hello")
    assert (answer.status, answer.out) == (0, "a model's answer\n"), answer
    assert llm.requests[-1].authorization == f"Bearer {KEY}"

    env = any_worker.home / ".picoclaw/.env"
    assert env.read_text() == f"PROVIDER=openai\nMY_KEY={KEY}\n"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert (any_worker.home / ".local/bin/picoclaw").resolve() == any_worker.fleet / "versions/0.2.9/picoclaw"
    assert (any_worker.home / ".picoclaw/workspace/AGENT.md").exists()


@pytest.mark.parametrize("version", ["0.1.2", "0.2.4"])
async def test_each_version_gets_the_settings_that_it_reads(
    desk: Desk, github: GitHub, llm: MockLLM, worker: Worker, version: str
) -> None:
    github.publish(OURS, f"v{version}", picoclaw_files(executable(version)))
    desk.write()
    done = await desk.run("deploy.sh", *worker.login, ARCH)
    assert done.status == 0, done
    answer = await desk.run("dispatch.sh", *worker.login, "hello")
    assert (answer.out, llm.requests[-1].authorization) == ("a model's answer\n", f"Bearer {KEY}"), answer


async def test_the_same_deploy_again_changes_nothing_and_downloads_nothing(
    desk: Desk, github: GitHub, worker: Worker
) -> None:
    desk.write()
    await desk.run("deploy.sh", *worker.login, ARCH)
    before = _times(worker.fleet / "versions")
    again = await desk.run("deploy.sh", *worker.login, ARCH)
    assert again.status == 0, again
    assert "unchanged" in again.out
    assert _times(worker.fleet / "versions") == before
    assert github.downloads(ASSET) == 1


async def test_a_new_key_replaces_the_old_one_everywhere(desk: Desk, github: GitHub, worker: Worker) -> None:
    desk.write()
    await desk.run("deploy.sh", *worker.login, ARCH)
    done = await desk.run("deploy.sh", *worker.login, ARCH, MY_KEY="sk-test-new-0000000001")
    assert done.status == 0, done
    assert worker.files_with(KEY) == []
    assert ".picoclaw/.env" in worker.files_with("sk-test-new-0000000001")


async def test_the_key_is_in_no_argument_and_no_output(desk: Desk, github: GitHub, worker: Worker) -> None:
    desk.write()
    with Watch(KEY) as seen:
        deployed = await desk.run("deploy.sh", *worker.login, ARCH, GITHUB_TOKEN="ghp_" + KEY)
        dispatched = await desk.run("dispatch.sh", *worker.login, "hello")
        torn_down = await desk.run("teardown.sh", *worker.login)
    assert (deployed.status, dispatched.status, torn_down.status) == (0, 0, 0), (deployed, dispatched, torn_down)
    assert seen.looked_at > 100
    assert seen.commands == set()
    assert KEY not in "".join(done.out + done.err for done in (deployed, dispatched, torn_down))


async def test_without_a_key_no_host_is_touched(desk: Desk) -> None:
    done = await desk.run("deploy.sh", "203.0.113.1", "nobody", ARCH)
    assert done.status == 9
    assert "key_missing" in done.err and "ANTHROPIC_API_KEY" in done.err


async def test_a_server_in_the_house_may_want_no_key_and_one_elsewhere_never(
    desk: Desk, github: GitHub, llm: MockLLM, worker: Worker
) -> None:
    desk.env.pop("MY_KEY")
    desk.write()
    done = await desk.run("deploy.sh", *worker.login, ARCH)
    assert (done.status, f"MY_KEY is not set, so this worker has no key for {llm.base_url}." in done.err) == (0, True)

    desk.defaults |= {"api_base": "http://api.example.com/v1"}
    desk.write()
    refused = await desk.run("deploy.sh", *worker.login, ARCH)
    assert (refused.status, ": key_missing: " in refused.err) == (9, True), refused


@only_root
async def test_a_binary_that_has_no_room_here_is_not_kept(
    desk: Desk, github: GitHub, worker: Worker, tmp_path: Path
) -> None:
    desk.write()
    github.publish(UPSTREAM, "v0.3.0", picoclaw_files(b"#" * 4_000_000))
    small = tmp_path / "small"
    small.mkdir()
    with mounted(small, "-t", "tmpfs", "-o", "size=1m", "none"):
        done = await desk.run("deploy.sh", *worker.login, ARCH, TMPDIR=str(small))
        assert (done.status, done.err.splitlines()[-1].split(": ")[2]) == (6, "disk_full"), done
        github.publish(UPSTREAM, "v0.3.1", picoclaw_files(os.urandom(2_000_000)))
        done = await desk.run("deploy.sh", *worker.login, ARCH, TMPDIR=str(small))
        assert (done.status, done.err.splitlines()[-1].split(": ")[2]) == (6, "disk_full"), done
    assert not (desk.home / "cache").exists()


async def test_provider_and_key_variable_of_the_environment_come_first(
    desk: Desk, github: GitHub, worker: Worker
) -> None:
    desk.write()
    done = await desk.run(
        "deploy.sh", *worker.login, ARCH, PROVIDER="openrouter", API_KEY_ENV="OTHER_KEY", OTHER_KEY="sk-other-12345678"
    )
    assert done.status == 0, done
    assert (worker.home / ".picoclaw/.env").read_text() == "PROVIDER=openrouter\nOTHER_KEY=sk-other-12345678\n"
    assert worker.files_with(KEY) == []


async def test_a_key_in_the_place_of_its_variables_name_is_shown_nowhere(desk: Desk, worker: Worker) -> None:
    desk.write()
    for key in (KEY, f"gsk_{'Ab1' * 8}", f"hf_{'aBc9' * 40}"):
        for script, *rest in (("deploy.sh", ARCH), ("teardown.sh",)):
            done = await desk.run(script, *worker.login, *rest, API_KEY_ENV=key)
            assert done.status == 2, done
            assert done.err.endswith(": usage: API_KEY_ENV has to name an environment variable.\n"), done
            assert key not in done.out + done.err


async def test_a_raw_binary_and_a_checksum_file_will_do_and_the_host_knows_its_architecture(
    desk: Desk, github: GitHub, worker: Worker
) -> None:
    desk.write()
    github.publish(OURS, "v0.2.9", {f"picoclaw-linux-{ARCH}": executable()}, digests="missing")
    done = await desk.run("deploy.sh", *worker.login, "riscv64")
    assert "from EricGrill/picoclaw v0.2.9, by the checksum file" in done.out, done
    assert "the host is believed" in done.err


async def test_what_nothing_vouches_for_is_refused_unless_that_is_wished(
    desk: Desk, github: GitHub, worker: Worker
) -> None:
    desk.write()
    github.publish(OURS, "v0.2.9", picoclaw_files(executable(), [WORD]), digests="missing", checksums="missing")
    refused = await desk.run("deploy.sh", *worker.login, ARCH)
    assert (refused.status, "checksum_mismatch" in refused.err) == (8, True), refused
    assert not (worker.home / ".picoclaw").exists()
    taken = await desk.run("deploy.sh", *worker.login, ARCH, PICOCLAW_ALLOW_UNVERIFIED="1")
    assert "not verified" in taken.out, taken


async def test_a_broken_download_touches_no_host(desk: Desk, github: GitHub, worker: Worker) -> None:
    desk.write()
    for fault in (Fault.HTML, Fault.TRUNCATED, Fault.SHORT, Fault.SERVER_ERROR, Fault.LOOP, Fault.RATE_LIMITED):
        github.download_fault = fault
        done = await desk.run("deploy.sh", *worker.login, ARCH)
        reason = "rate_limited" if fault is Fault.RATE_LIMITED else "no_release"
        assert (done.status, f": {reason}: " in done.err) == (8, True), done
    assert not (worker.home / ".picoclaw").exists()


async def test_an_api_that_fails_is_an_error_and_not_another_source(desk: Desk, github: GitHub, worker: Worker) -> None:
    desk.write()
    for fault in (Fault.BROKEN_JSON, Fault.HTML, Fault.RATE_LIMITED, Fault.SERVER_ERROR):
        github.api_fault = fault
        done = await desk.run("deploy.sh", *worker.login, ARCH)
        assert done.status == 8, done
        assert ("2030-01-01 00:00:00 UTC" in done.err) is (fault is Fault.RATE_LIMITED)
    assert not any(UPSTREAM in request.path for request in github.requests)


async def test_another_file_than_the_published_one_is_thrown_away(desk: Desk, github: GitHub, worker: Worker) -> None:
    desk.write()
    github.publish(OURS, "v0.2.9", picoclaw_files(executable()), digests="wrong")
    done = await desk.run("deploy.sh", *worker.login, ARCH)
    assert (done.status, "checksum_mismatch" in done.err) == (8, True), done


async def test_a_strange_archive_is_refused(desk: Desk, github: GitHub, worker: Worker) -> None:
    desk.write()
    strange = {
        "has no picoclaw": tar_gz({"README.md": b"no binary"}),
        "is a link": tar_gz({}, [member("picoclaw", b"2", "/bin/sh")]),
        "outside of its folder": tar_gz({"../picoclaw": b"x"}),
        "no archive": b"not an archive",
    }
    for problem, archive in strange.items():
        github.publish(OURS, "v0.2.9", {ASSET: archive})
        done = await desk.run("deploy.sh", *worker.login, ARCH)
        assert (done.status, problem in done.err) == (8, True), done


async def test_a_newer_release_replaces_the_old_one_unless_it_does_not_run_there(
    desk: Desk, github: GitHub, worker: Worker
) -> None:
    desk.write()
    await desk.run("deploy.sh", *worker.login, ARCH)
    github.publish(UPSTREAM, "v0.2.10", picoclaw_files(executable("0.2.10")))
    upgraded = await desk.run("deploy.sh", *worker.login, ARCH)
    assert "upgraded, PicoClaw 0.2.10" in upgraded.out, upgraded

    github.publish(UPSTREAM, "v0.3.0", picoclaw_files(b"#!/bin/sh\nexit 1\n"))
    done = await desk.run("deploy.sh", *worker.login, ARCH)
    assert (done.status, ": not_ready: " in done.err) == (10, True), done
    assert [path.name for path in (worker.fleet / "versions").iterdir()] == ["0.2.10"]
    assert (await desk.run("dispatch.sh", *worker.login, "hello")).out == "a model's answer\n"


async def test_an_owners_settings_and_memory_stay_as_they_are(desk: Desk, github: GitHub, worker: Worker) -> None:
    desk.write()
    memory = worker.home / ".picoclaw/workspace/memory/MEMORY.md"
    memory.parent.mkdir(parents=True)
    memory.write_text("remember the milk")
    (worker.home / ".picoclaw/config.json").write_text("{}")
    done = await desk.run("deploy.sh", *worker.login, ARCH)
    assert done.status == 0, done
    assert memory.read_text() == "remember the milk"
    assert (worker.home / ".picoclaw/config.json").read_text() == "{}"


def _times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}
