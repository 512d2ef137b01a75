"""Which release of which repository is taken."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from tests.github import Fault, GitHub, picoclaw_files
from tests.releases.scenario import (
    ARM64,
    ARM64_ARCHIVE,
    EXECUTABLE,
    FORK,
    SHA256,
    UPSTREAM,
    Maker,
    binary_of,
    failure_of,
)

from picoclaw_fleet.errors import Reason, UsageError
from picoclaw_fleet.releases import Platform, Releases, Verification


async def test_decoys_are_never_taken(github: GitHub, releases: Maker) -> None:
    decoys = {name: content for name, content in picoclaw_files(EXECUTABLE).items() if name != ARM64_ARCHIVE}
    github.publish(UPSTREAM, "v0.2.9", decoys)
    error = await failure_of(releases())
    assert error.reason is Reason.NO_RELEASE
    assert "no PicoClaw release for Linux arm64" in error.message
    assert "sipeed/picoclaw v0.2.9 has no file for it" in error.message


@pytest.mark.parametrize("version", ["../../secrets", "/etc/passwd", "./picoclaw", "~/picoclaw", "a b", "v1?x=y", "-x"])
async def test_a_path_is_no_version_and_nothing_is_asked(github: GitHub, releases: Maker, version: str) -> None:
    with pytest.raises(UsageError, match="isn't a version"):
        await releases().find(version, ARM64)
    assert github.requests == []


async def test_latest_comes_with_its_source_tag_size_and_digest(github: GitHub, releases: Maker) -> None:
    files = picoclaw_files(EXECUTABLE)
    github.publish(UPSTREAM, "v0.2.8", files)
    github.publish(UPSTREAM, "v0.2.9", files)
    for version in ("", "latest"):
        found = await releases().find(version, ARM64)
        assert (found.source, found.tag, found.version, found.asset) == (UPSTREAM, "v0.2.9", "0.2.9", ARM64_ARCHIVE)
        assert found.size == len(files[ARM64_ARCHIVE])
        assert found.digest == hashlib.sha256(files[ARM64_ARCHIVE]).hexdigest()


async def test_the_first_repository_wins_where_it_has_an_asset(github: GitHub, releases: Maker) -> None:
    github.publish(FORK, "v9", {"picoclaw-linux-arm64": EXECUTABLE})
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    assert (await releases().find("", ARM64)).source == FORK
    assert (await releases().find("", Platform("Linux", "amd64"))).source == UPSTREAM
    assert (await releases().find("v0.2.9", ARM64)).source == UPSTREAM


async def test_an_outage_of_the_first_repository_does_not_change_the_source(github: GitHub, releases: Maker) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    github.api_fault = Fault.SERVER_ERROR
    error = await failure_of(releases())
    assert error.retryable
    assert error.message.startswith(f"{FORK} latest: ")
    assert all(FORK in request.path for request in github.requests)


@pytest.mark.parametrize(("published", "wanted"), [("v0.2.9", "0.2.9"), ("v0.2.9", "v0.2.9"), ("0.2.9", "v0.2.9")])
async def test_a_tag_is_found_with_and_without_its_v(
    github: GitHub, releases: Maker, published: str, wanted: str
) -> None:
    github.publish(UPSTREAM, published, picoclaw_files(EXECUTABLE))
    github.publish(UPSTREAM, "v0.3.0", picoclaw_files(EXECUTABLE))
    assert (await releases().find(wanted, ARM64)).tag == published


async def test_no_repository_with_a_release_says_what_each_of_them_lacks(github: GitHub, releases: Maker) -> None:
    github.publish(UPSTREAM, "v0.2.9", {"picoclaw_Linux_x86_64.tar.gz": b"x"})
    error = await failure_of(releases())
    assert error.reason is Reason.NO_RELEASE
    assert not error.retryable
    assert "EricGrill/picoclaw has no release;" in error.message
    assert "sipeed/picoclaw v0.2.9 has no file for it" in error.message


async def test_nightly_is_taken_only_when_it_is_named(github: GitHub, releases: Maker) -> None:
    github.publish(UPSTREAM, "nightly", picoclaw_files(EXECUTABLE), prerelease=True)
    assert (await failure_of(releases())).reason is Reason.NO_RELEASE
    assert (await releases().find("nightly", ARM64)).tag == "nightly"


async def test_a_mirror_that_calls_a_pre_release_its_latest_has_none(github: GitHub, releases: Maker) -> None:
    github.mirror = True
    github.publish(UPSTREAM, "nightly", picoclaw_files(EXECUTABLE), prerelease=True)
    assert "sipeed/picoclaw has no release" in (await failure_of(releases())).message


async def test_an_unfinished_upload_is_no_asset(github: GitHub, releases: Maker) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE), state="starter")
    assert "has no file for it" in (await failure_of(releases())).message


async def test_v0_1_2_has_no_armv7_so_such_hosts_take_armv6(github: GitHub, releases: Maker) -> None:
    github.publish(UPSTREAM, "v0.1.2", picoclaw_files(EXECUTABLE, ("x86_64", "arm64", "armv6")))
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    armv7 = Platform.from_uname("Linux", "armv7l")
    assert (await releases().find("v0.1.2", armv7)).asset == "picoclaw_Linux_armv6.tar.gz"
    assert (await releases().find("v0.2.9", armv7)).asset == "picoclaw_Linux_armv7.tar.gz"


@pytest.mark.parametrize("name", ["picoclaw-linux-arm64", "picoclaw-arm64-linux", "picoclaw-arm64"])
async def test_raw_binaries_are_taken_as_they_are(github: GitHub, releases: Maker, name: str) -> None:
    github.publish(FORK, "v0.1.1", {name: EXECUTABLE, "picoclaw-linux-riscv64": b"no", "picoclaw-darwin-arm64": b"no"})
    binary = await binary_of(releases())
    assert (binary.sha256, binary.source, binary.version) == (SHA256, FORK, "0.1.1")
    assert binary.path.read_bytes() == EXECUTABLE


async def test_v0_1_1s_checksum_file_names_folders(github: GitHub, releases: Maker) -> None:
    sums = f"{SHA256}  build/picoclaw-linux-arm64\n{'0' * 64}  build/picoclaw-linux-amd64\n".encode()
    files = {"picoclaw-linux-arm64": EXECUTABLE, "sha256sums.txt": sums}
    github.publish(UPSTREAM, "v0.1.1", files, digests="missing", checksums="missing")
    assert (await binary_of(releases())).verified is Verification.CHECKSUMS


async def test_forty_hosts_ask_the_api_once_per_repository(github: GitHub, releases: Maker) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    shared = releases()
    async with anyio.create_task_group() as group:
        for machine in ("aarch64", "armv7l", "x86_64", "riscv64") * 10:
            group.start_soon(shared.find, "", Platform.from_uname("Linux", machine))
    assert (await shared.find("", ARM64)).source == UPSTREAM
    assert len(github.requests) == 2


@pytest.mark.parametrize("repository", ["picoclaw", "a/b/c", "../x", "a/..", "https://github.com/a/b", "a/b?c", ""])
def test_a_repository_is_owner_and_name(releases: Maker, repository: str) -> None:
    with pytest.raises(UsageError, match="isn't a GitHub repository"):
        releases(repository)


@pytest.mark.parametrize("api", ["", "api.github.com", "file:///etc", "ftp://x"])
def test_the_api_is_an_http_address(tmp_path: Path, api: str) -> None:
    with pytest.raises(UsageError, match="https://"):
        Releases([UPSTREAM], api, None, tmp_path, False)


async def test_a_broken_api_address_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="github_api"):
        await Releases([UPSTREAM], "https://host:port", None, tmp_path, False).find("", ARM64)


def test_httpx2_is_not_imported_before_it_is_needed() -> None:
    script = "import sys, picoclaw_fleet.releases; sys.exit('httpx2' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", script], env=environment, check=False).returncode == 0
