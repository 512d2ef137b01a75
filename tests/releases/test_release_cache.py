"""The cache is shared by tasks and processes, and holds nothing but whole binaries."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import anyio
import pytest
from anyio import to_thread
from tests.github import Fault, GitHub, Said, member, picoclaw_files, tar_gz, zipped
from tests.releases.scenario import (
    ARM64,
    ARM64_ARCHIVE,
    EXECUTABLE,
    SHA256,
    UPSTREAM,
    Maker,
    binary_of,
    failure_of,
    files_in,
)

from picoclaw_fleet.errors import ReleaseError, UsageError
from picoclaw_fleet.releases import Binary, Platform, Releases, Verification


async def test_a_hit_makes_no_request_and_is_checked(github: GitHub, releases: Maker) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    maker = releases()
    release = await maker.find("", ARM64)
    first = await maker.binary(release)
    github.requests.clear()
    assert await maker.binary(release) == first
    assert await releases().binary(release) == first
    assert github.requests == []
    first.path.write_bytes(EXECUTABLE[:1000])
    assert await releases().binary(release) == first
    assert first.path.read_bytes() == EXECUTABLE


async def test_each_version_and_arch_has_an_entry_of_its_own(github: GitHub, releases: Maker) -> None:
    github.publish(UPSTREAM, "v0.2.8", picoclaw_files(b"older"))
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    maker = releases()
    binaries = [
        await binary_of(maker, Platform("Linux", arch), tag)
        for tag in ("v0.2.8", "v0.2.9")
        for arch in ("arm64", "armv7")
    ]
    assert len({binary.path for binary in binaries}) == 4
    assert [binary.path.stat().st_size for binary in binaries] == [5, 5, len(EXECUTABLE), len(EXECUTABLE)]


@pytest.mark.parametrize("digests", ["right", "missing"])
async def test_a_tag_that_is_published_anew_is_downloaded_anew(github: GitHub, releases: Maker, digests: Said) -> None:
    for content in (b"monday", b"sunday"):
        github.publish(UPSTREAM, "nightly", {"picoclaw-linux-arm64": content}, digests=digests, prerelease=True)
        assert (await binary_of(releases(), version="nightly")).path.read_bytes() == content


async def test_parallel_deploys_share_one_download_and_its_progress(github: GitHub, releases: Maker) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    github.download_fault = Fault.STALLED
    shared = releases()
    release = await shared.find("", ARM64)
    binaries: list[Binary] = []
    told: list[int] = [0] * 20

    async def deploy(number: int) -> None:
        def tell(received: int, total: int) -> None:
            told[number] = received

        binaries.append(await shared.binary(release, tell))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(deploy, number)
            assert await to_thread.run_sync(github.stalled.wait, 20)
            github.resume.set()
    assert set(told) == {release.size}
    assert len(binaries) == 20
    assert len(set(binaries)) == 1
    assert github.downloads(ARM64_ARCHIVE) == 1


async def test_a_cancelled_download_leaves_nothing_and_the_next_in_line_goes_on(
    github: GitHub, releases: Maker, tmp_path: Path
) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    github.download_fault = Fault.STALLED
    shared = releases()
    release = await shared.find("", ARM64)
    binaries: list[Binary] = []

    async def deploy() -> None:
        binaries.append(await shared.binary(release))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as others, anyio.create_task_group() as first:
            first.start_soon(deploy)
            assert await to_thread.run_sync(github.stalled.wait, 20)
            others.start_soon(deploy)
            github.download_fault = None
            first.cancel_scope.cancel()
    assert [binary.sha256 for binary in binaries] == [SHA256]
    assert github.downloads(ARM64_ARCHIVE) == 2
    assert [Path(name).name for name in files_in(tmp_path / "cache")] == ["picoclaw", "receipt.json"]


DEPLOY = """
import sys
from pathlib import Path
import anyio
from picoclaw_fleet.releases import Platform, Releases

async def deploy(api, cache):
    releases = Releases(["sipeed/picoclaw"], api, None, Path(cache), False)
    release = await releases.find("", Platform("Linux", "arm64"))
    print("found", flush=True)
    print((await releases.binary(release)).sha256)

anyio.run(deploy, *sys.argv[1:])
"""


def another_process(github: GitHub, cache: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", DEPLOY, github.api, str(cache)], env=environment, stdout=subprocess.PIPE, text=True
    )


def test_two_processes_download_once(github: GitHub, tmp_path: Path) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    github.download_fault = Fault.STALLED
    with another_process(github, tmp_path) as first:
        assert github.stalled.wait(20)
        with another_process(github, tmp_path) as second:
            assert second.stdout is not None
            assert second.stdout.readline() == "found\n"
            github.resume.set()
            assert second.communicate(timeout=20)[0].split() == [SHA256]
        assert first.communicate(timeout=20)[0].split() == ["found", SHA256]
    assert github.downloads(ARM64_ARCHIVE) == 1


async def test_a_killed_download_is_never_taken_for_whole(github: GitHub, releases: Maker, tmp_path: Path) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    github.download_fault = Fault.STALLED
    cache = tmp_path / "cache"
    with another_process(github, cache) as victim:
        assert await to_thread.run_sync(github.stalled.wait, 20)
        os.kill(victim.pid, signal.SIGKILL)
        victim.communicate(timeout=20)
    assert [Path(name).name for name in files_in(cache)] == ["download"]
    github.download_fault = None
    binary = await binary_of(releases(UPSTREAM))
    assert binary.path.read_bytes() == EXECUTABLE
    assert [Path(name).name for name in files_in(cache)] == ["picoclaw", "receipt.json"]


async def test_a_cache_that_can_not_be_written_is_named(github: GitHub, tmp_path: Path) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    (tmp_path / "file").write_text("in the way")
    error = await failure_of(Releases([UPSTREAM], github.api, None, tmp_path / "file", False))
    assert f"{tmp_path / 'file'}, can't be used: Not a directory." in error.message


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("picoclaw", EXECUTABLE),
        ("picoclaw-linux-arm64", EXECUTABLE),
        ("mine.tar.gz", tar_gz({"picoclaw": EXECUTABLE})),
        ("mine.tgz", tar_gz({"picoclaw": EXECUTABLE})),
        ("mine.zip", zipped({"picoclaw": EXECUTABLE})),
    ],
)
async def test_a_local_file_is_copied_so_that_it_can_not_change(
    github: GitHub, releases: Maker, tmp_path: Path, name: str, content: bytes
) -> None:
    mine = tmp_path / name
    mine.write_bytes(content)
    binary = await releases().local(mine)
    mine.write_bytes(b"changed")
    assert binary.path.read_bytes() == EXECUTABLE
    assert (binary.sha256, binary.version) == (SHA256, "")
    assert (binary.source, binary.verified) == (str(mine), Verification.LOCAL)
    assert os.access(binary.path, os.X_OK)
    assert github.requests == []


async def test_the_same_executable_from_two_places_is_one_entry(releases: Maker, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two.tar.gz"
    one.write_bytes(EXECUTABLE)
    two.write_bytes(tar_gz({"picoclaw": EXECUTABLE}))
    first, second = await releases().local(one), await releases().local(two)
    assert first.path == second.path
    assert (first.source, second.source) == (str(one), str(two))


async def test_a_local_file_that_is_not_there_is_a_usage_error(releases: Maker, tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(UsageError, match="isn't a file"):
            await releases().local(path)


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/mem is a file that nobody can read from its beginning")
async def test_a_local_file_that_can_not_be_read_is_named_and_not_the_cache(releases: Maker) -> None:
    with pytest.raises(UsageError, match=r"^/proc/self/mem can't be read: Input/output error"):
        await releases().local(Path("/proc/self/mem"))


@pytest.mark.parametrize("content", [b"", b"rm -rf /\n", b"!<arch>\ndebian-binary", b"\xfd7zXZ\0", b"\xcf\xfa\xed\xfe"])
async def test_a_local_file_that_a_hosts_shell_would_take_for_a_script_is_refused(
    releases: Maker, tmp_path: Path, content: bytes
) -> None:
    mine = tmp_path / "picoclaw.deb"
    mine.write_bytes(content)
    with pytest.raises(UsageError, match=r"picoclaw\.deb is neither a program for Linux nor a \.tar\.gz or \.zip"):
        await releases().local(mine)


async def test_a_hostile_local_archive_is_refused(releases: Maker, tmp_path: Path) -> None:
    mine = tmp_path / "mine.tar.gz"
    mine.write_bytes(tar_gz({}, [member("picoclaw", tarfile.SYMTYPE, "/etc/passwd")]))
    with pytest.raises(ReleaseError, match=r"mine\.tar\.gz was refused"):
        await releases().local(mine)
