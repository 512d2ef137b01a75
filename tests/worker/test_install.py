"""Deploy on real hosts: OpenSSH, Dropbear, and one with nothing but BusyBox and without SFTP."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import subprocess
import threading
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from datetime import date
from importlib import resources
from pathlib import Path

import anyio
import pytest
from tests import standin
from tests.deploy_site import BROKEN, KEY, KEY_VARIABLE, NAME, SECONDS, DeploySite, holding, tree

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import Reason
from picoclaw_fleet.rollout import HostResult, Outcome
from picoclaw_fleet.worker.contract import Order, install_runner, new_job_id, start

PATH_LINE = 'export PATH="$HOME/.local/bin:$PATH" # picoclaw-fleet\n'
NEW_KEY = "sk-ant-the-next-key-of-these-tests"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    monkeypatch.delenv("PROVIDER", raising=False)
    monkeypatch.delenv("API_KEY_ENV", raising=False)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[DeploySite]:
    async with DeploySite(tmp_path) as site:
        site.publish("0.2.9")
        yield site


async def answer_of(site: DeploySite, host: Host, task: str = "hello") -> str:
    """What a worker answers, over the run contract."""
    order = Order(new_job_id(), task.encode(), 20, 4, 1 << 20, {})
    await install_runner(site.pool, host, NAME)
    out = bytearray()
    async with start(site.pool, host, NAME, order) as attendance:
        await attendance.started()
        ending = await attendance.ended()
        await attendance.copy(ending.sizes[0], out.extend)
    return out.decode()


@pytest.mark.parametrize("version", ["0.1.2", "0.2.4", "0.2.9"])
async def test_a_bare_host_becomes_a_worker_that_answers(tmp_path: Path, version: str) -> None:
    async with DeploySite(tmp_path, hosts=2, sparse=True, dropbear=True) as site:
        site.publish(version)
        hosts = [site.host("sparse"), site.host("usual", 1), site.dropbear_host()]
        homes = [site.home(0), site.home(1), site.dropbear.home]

        results = await site.deploy(hosts)

        assert [(result.outcome, result.version, result.message) for result in results] == [
            (Outcome.INSTALLED, version, "")
        ] * 3
        for host, home in zip(hosts, homes, strict=True):
            folder = site.fleet(home) / "versions" / version
            assert (site.fleet(home) / "current").readlink() == Path("versions") / version
            assert (home / ".local/bin/picoclaw").resolve() == folder / "picoclaw"
            assert (home / ".picoclaw/.env").read_text() == f"PROVIDER=anthropic\n{KEY_VARIABLE}={KEY}\n"
            assert "done: hello" in await answer_of(site, host)
            secret = [".picoclaw/.env", f".picoclaw/fleet/{NAME}/versions/{version}/"]
            for name in holding(home, KEY):
                assert name.startswith(tuple(secret)), name
                assert stat.S_IMODE((home / name).stat().st_mode) == 0o600, name


async def test_the_same_deploy_again_changes_nothing(site: DeploySite) -> None:
    host = site.host()
    await site.deploy([host])
    before, touched = tree(site.home()), _times(site.home())

    (result,) = await site.deploy([host])

    assert result.outcome is Outcome.UNCHANGED
    assert (tree(site.home()), _times(site.home())) == (before, touched)


def _times(home: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in home.rglob("*") if not path.is_dir()}


async def test_an_upgrade_switches_binary_and_settings_at_once(site: DeploySite) -> None:
    host = site.host()
    site.publish("0.1.2")
    await site.deploy([host])
    assert (site.home() / ".picoclaw/config.json").is_symlink()
    site.publish("0.2.9")

    (result,) = await site.deploy([host])

    assert (result.outcome, result.version) == (Outcome.UPGRADED, "0.2.9")
    assert [path.name for path in (site.fleet() / "versions").iterdir()] == ["0.2.9"]
    # The settings of the old version would have been in the new one's way.
    assert not (site.home() / ".picoclaw/config.json").exists()
    assert "done: hello" in await answer_of(site, host)


async def test_an_upgrade_that_is_not_ready_leaves_the_old_version(site: DeploySite) -> None:
    host = site.host()
    await site.deploy([host])
    before = tree(site.home())
    site.publish("0.2.10", BROKEN)

    (result,) = await site.deploy([host])

    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.NOT_READY)
    assert "it is broken" in result.message
    assert tree(site.home()) == before
    assert "done: hello" in await answer_of(site, host)


async def test_a_key_of_any_shape_that_a_host_quotes_is_in_no_message(site: DeploySite) -> None:
    others_key = "gsk_" + "a1B2" * 8
    site.publish("0.2.10", BROKEN.replace(b"it is broken", f"not with {others_key} nor {KEY}".encode()))

    (result,) = await site.deploy([site.host()])

    assert "not with [secret] nor [secret]" in result.message


async def test_a_binary_for_another_machine_is_refused_before_anything_changes(site: DeploySite) -> None:
    site.publish("0.3.0", b"\x7fELF\x02\x01\x01" + bytes(200))
    (result,) = await site.deploy([site.host()])
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.NOT_READY)
    assert "does not run there" in result.message
    assert not (site.home() / ".picoclaw/.env").exists()


async def test_a_newer_version_than_any_that_is_known_takes_the_newest_settings(site: DeploySite) -> None:
    site.publish("0.4.1")
    (result,) = await site.deploy([site.host()])
    assert (result.outcome, result.version) == (Outcome.INSTALLED, "0.4.1")
    config = json.loads((site.fleet() / "current/config.json").read_text())
    assert config["version"] == 3


async def test_a_new_key_replaces_the_old_one_everywhere(site: DeploySite, monkeypatch: pytest.MonkeyPatch) -> None:
    host = site.host()
    await site.deploy([host])
    current = site.fleet() / "current"
    # As a PicoClaw does that finds settings of an older form.
    (current / f".security.yml.{date.today():%Y%m%d}.bak").write_text(KEY)
    (current / "config.json.bak").write_text(KEY)
    monkeypatch.setenv(KEY_VARIABLE, NEW_KEY)

    (result,) = await site.deploy([host])

    assert result.outcome is Outcome.UPGRADED
    assert holding(site.home(), KEY) == []
    assert holding(site.home(), NEW_KEY) == [
        ".picoclaw/.env",
        f".picoclaw/fleet/{NAME}/versions/0.2.9-2/.security.yml",
    ]
    assert "done: hello" in await answer_of(site, host)


async def test_a_binary_that_is_there_is_not_sent_again(site: DeploySite, monkeypatch: pytest.MonkeyPatch) -> None:
    host = site.host()
    await site.deploy([host])
    monkeypatch.setenv(KEY_VARIABLE, NEW_KEY)
    steps: list[str] = []

    runs = site.rollout.deploy([host], site.releases)
    with anyio.fail_after(SECONDS):
        await site.rollout.watch(runs, lambda _, progress: steps.append(progress.step))

    assert runs[0].result.outcome is Outcome.UPGRADED
    assert "upload" not in steps
    assert "done: hello" in await answer_of(site, host)


async def test_a_new_key_replaces_the_old_one_also_where_jobs_run(
    site: DeploySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = site.host()
    await site.deploy([host])
    standin.set_knobs(site.home(), exec="until [ -e $HOME/go ]; do sleep 0.05; done; echo over", reply="{output}")
    await install_runner(site.pool, host, NAME)
    order = Order(new_job_id(), b"wait", 30, 4, 1 << 20, {})
    async with start(site.pool, host, NAME, order) as attendance:
        await attendance.started()
        monkeypatch.setenv(KEY_VARIABLE, NEW_KEY)

        (result,) = await site.deploy([host])

        assert result.outcome is Outcome.UPGRADED
        assert holding(site.home(), KEY) == []
        # The running job keeps its version until it is over.
        assert {path.name for path in (site.fleet() / "versions").iterdir()} == {"0.2.9", "0.2.9-2"}
        (site.home() / "go").touch()
        assert (await attendance.ended()).exit_status == 0
    standin.set_knobs(site.home())
    (result,) = await site.deploy([host])
    assert result.outcome is Outcome.UNCHANGED
    assert [path.name for path in (site.fleet() / "versions").iterdir()] == ["0.2.9-2"]


@pytest.mark.parametrize("version", ["0.1.2", "0.2.9"])
async def test_an_owner_s_picoclaw_is_left_as_it_is(site: DeploySite, version: str) -> None:
    host, home = site.host(), site.home()
    standin.install(home, version=version)
    memory = home / ".picoclaw/workspace/memory/MEMORY.md"
    memory.parent.mkdir(parents=True)
    memory.write_text("what the owner told it\n")
    before = tree(home)
    site.publish(version)

    (result,) = await site.deploy([host])

    after = tree(home)
    assert result.outcome is Outcome.INSTALLED
    assert {name: after[name] for name in before} == before
    assert [line.partition(":")[0] for line in result.kept] == [".local/bin/picoclaw", ".picoclaw/config.json"]
    assert "done: hello" in await answer_of(site, host)


async def test_env_keeps_the_owner_s_own_lines(site: DeploySite) -> None:
    env = site.home() / ".picoclaw/.env"
    env.parent.mkdir()
    env.write_text(f"# mine\nOTHER=value\nPROVIDER=openai\n{KEY_VARIABLE}=old\n")
    env.chmod(0o644)

    await site.deploy([site.host()])

    assert env.read_text() == f"# mine\nOTHER=value\nPROVIDER=anthropic\n{KEY_VARIABLE}={KEY}\n"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600


async def test_path_is_extended_once_and_only_where_it_is_needed(
    site: DeploySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    bashrc, zshrc = site.home() / ".bashrc", site.home() / ".zshrc"
    bashrc.write_text("alias ll='ls -l'")  # without a newline at its end
    zshrc.write_text("path+=$HOME/.local/bin\n")

    await site.deploy([site.host()])
    monkeypatch.setenv(KEY_VARIABLE, NEW_KEY)
    await site.deploy([site.host()])

    assert bashrc.read_text() == f"alias ll='ls -l'\n{PATH_LINE}"
    assert zshrc.read_text() == "path+=$HOME/.local/bin\n"


async def test_onboard_runs_only_where_there_is_nothing_to_lose(site: DeploySite) -> None:
    workspace = site.home() / ".picoclaw/workspace"
    workspace.mkdir(parents=True)
    (workspace / "SOUL.md").write_text("the owner's\n")
    await site.deploy([site.host()])
    assert (workspace / "SOUL.md").read_text() == "the owner's\n"
    assert not (workspace / "AGENT.md").exists()


async def test_a_disk_without_room_is_told_and_nothing_is_sent(
    site: DeploySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("picoclaw_fleet.worker.install.MARGIN_KB", 1 << 50)
    (result,) = await site.deploy([site.host()])
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.DISK_FULL)
    assert list((site.fleet() / "versions").iterdir()) == []
    assert not (site.fleet() / "lock").exists()


async def test_a_home_that_can_t_be_written_to_is_told(site: DeploySite) -> None:
    (site.home() / ".picoclaw").write_text("a file where a folder has to be")
    (result,) = await site.deploy([site.host()])
    assert (result.outcome, result.reason) == (Outcome.FAILED, Reason.HOME_NOT_WRITABLE)


async def test_the_key_is_in_no_command_line_and_in_no_log(
    site: DeploySite, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    host = site.host()
    with _watching_command_lines(KEY, NEW_KEY) as found:
        await site.deploy([host])
        monkeypatch.setenv(KEY_VARIABLE, NEW_KEY)
        results = await site.deploy([host])
        results += await site.teardown([host], purge=True)
    assert found.seen > 100
    assert found.lines == []
    for key in (KEY, NEW_KEY):
        assert key not in caplog.text
        assert key not in repr(results)
        assert key not in "\n".join(site.server.log)


class _Found:
    def __init__(self) -> None:
        self.seen = 0
        self.lines: list[bytes] = []


@contextmanager
def _watching_command_lines(*keys: str) -> Generator[_Found]:
    found, over = _Found(), threading.Event()

    def watch() -> None:
        while not over.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    line = (process / "cmdline").read_bytes()
                except OSError:
                    continue
                found.seen += 1
                found.lines += [line for key in keys if key.encode() in line]

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield found
    finally:
        over.set()
        watcher.join()


async def test_a_host_without_any_tool_for_digests_is_verified_by_size_and_by_running_it(tmp_path: Path) -> None:
    async with DeploySite(tmp_path, sparse=True) as site:
        site.publish("0.2.9")
        for tool in ("sha256sum", "md5sum", "busybox", "sha1sum"):
            (tmp_path / "sshd/busybox" / tool).unlink(missing_ok=True)
        host = site.host()
        assert [result.outcome for result in await site.deploy([host])] == [Outcome.INSTALLED]
        assert "done: hello" in await answer_of(site, host)


@pytest.mark.parametrize("tool", ["openssl", "sha256sum", "busybox", "shasum"])
def test_each_tool_for_digests_does_and_one_that_fails_is_no_tool(tmp_path: Path, tool: str) -> None:
    found = shutil.which(tool)
    if found is None:
        pytest.skip(f"there is no {tool} here")
    for name in ("openssl", "sha256sum", "busybox", "shasum"):
        (tmp_path / name).symlink_to(found if name == tool else "/bin/false")
    (tmp_path / "file").write_bytes(standin.executable("0.2.9"))
    script = resources.files("picoclaw_fleet.worker").joinpath("install.sh").read_text()
    command = ["/bin/sh", "-c", f"{script}\nPATH={tmp_path}\ndigest_of {tmp_path}/file"]

    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert said == hashlib.sha256(standin.executable("0.2.9")).hexdigest() + "\n"


async def test_two_controllers_at_once_make_one_installation(tmp_path: Path, site: DeploySite) -> None:
    other = DeploySite(tmp_path / "other")
    other.key, other.github, other.server = site.key, site.github, site.server
    async with other.attached():
        host = site.host()
        results: list[HostResult] = []

        async def deploy(controller: DeploySite) -> None:
            results.extend(await controller.deploy([host]))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(deploy, site)
            tasks.start_soon(deploy, other)

    assert {result.outcome for result in results} <= {Outcome.INSTALLED, Outcome.UNCHANGED, Outcome.UPGRADED}
    assert len(list((site.fleet() / "versions").iterdir())) == 1
    assert "done: hello" in await answer_of(site, host)
    manifest = (site.fleet() / "manifest").read_text()
    in_use = (site.fleet() / "current").readlink().name
    assert f"in-use {in_use}\n" in manifest


def test_the_scripts_are_sound() -> None:
    folder = Path(__file__).parents[2] / "server/picoclaw_fleet/worker"
    ground = (folder / "ground.sh").read_text()
    for name in ("install.sh", "removal.sh"):
        for shell in (["dash"], ["bash", "--posix"], ["busybox", "sh"]):
            done = subprocess.run([*shell, "-n"], input=ground + (folder / name).read_text(), text=True, check=False)
            assert done.returncode == 0, (name, shell)
