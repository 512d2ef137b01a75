"""What is downloaded is verified, and each bad download is said plainly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.github import Fault, GitHub, Said, picoclaw_files
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

from picoclaw_fleet.errors import Reason, ReleaseError
from picoclaw_fleet.releases import Verification


async def test_a_release_is_downloaded_verified_and_unpacked(github: GitHub, releases: Maker) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    binary = await binary_of(releases())
    assert binary.path.read_bytes() == EXECUTABLE
    assert binary.path.stat().st_mode & 0o777 == 0o700
    assert binary.sha256 == SHA256
    assert (binary.source, binary.version) == (UPSTREAM, "0.2.9")
    assert binary.verified is Verification.DIGEST
    assert {request.place for request in github.requests} == {"api", "page"}
    assert github.downloads("picoclaw_0.2.9_checksums.txt") == 0


async def test_progress_rises_to_the_whole(github: GitHub, releases: Maker) -> None:
    files = picoclaw_files(EXECUTABLE)
    github.publish(UPSTREAM, "v0.2.9", files)
    told: list[tuple[int, int]] = []
    maker = releases()
    await maker.binary(await maker.find("", ARM64), lambda received, total: told.append((received, total)))
    size = len(files[ARM64_ARCHIVE])
    assert len(told) > 1
    assert told == sorted(set(told))
    assert told[-1] == (size, size)


async def test_without_a_digest_the_checksum_file_decides(github: GitHub, releases: Maker) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE), digests="missing")
    assert (await binary_of(releases())).verified is Verification.CHECKSUMS


@pytest.mark.parametrize("allow_unverified", [False, True])
@pytest.mark.parametrize("digests", ["wrong", "missing"])
async def test_a_wrong_digest_is_refused_in_any_case(
    github: GitHub, releases: Maker, tmp_path: Path, digests: Said, allow_unverified: bool
) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE), digests=digests, checksums="wrong")
    error = await failure_of(releases(allow_unverified=allow_unverified))
    assert error.reason is Reason.CHECKSUM_MISMATCH
    assert not error.retryable
    assert files_in(tmp_path / "cache") == []


async def test_neither_digest_nor_checksums_is_refused_before_the_download(github: GitHub, releases: Maker) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE), digests="missing", checksums="missing")
    error = await failure_of(releases())
    assert error.reason is Reason.CHECKSUM_MISMATCH
    assert "can't be verified" in error.message
    assert "allow_unverified" in error.next_step
    assert github.downloads(ARM64_ARCHIVE) == 0


async def test_allow_unverified_takes_it_and_says_so(github: GitHub, releases: Maker) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE), digests="missing", checksums="missing")
    assert (await binary_of(releases(allow_unverified=True))).verified is Verification.NONE
    # What was taken without a check is no way around the check afterwards.
    assert (await failure_of(releases())).reason is Reason.CHECKSUM_MISMATCH


async def test_a_checksum_file_that_contradicts_itself_is_refused(github: GitHub, releases: Maker) -> None:
    files = {
        ARM64_ARCHIVE: b"x",
        "checksums.txt": f"{'1' * 64}  {ARM64_ARCHIVE}\n{'2' * 64}  {ARM64_ARCHIVE}\n".encode(),
    }
    github.publish(UPSTREAM, "v0.2.9", files, digests="missing", checksums="missing")
    error = await failure_of(releases(allow_unverified=True))
    assert error.reason is Reason.CHECKSUM_MISMATCH
    assert "the checksum file has 2" in error.message


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault.HTML, "answered with a web page"),
        (Fault.TRUNCATED, "broke off"),
        (Fault.SHORT, "cut short"),
        (Fault.SERVER_ERROR, "status 502"),
        (Fault.LOOP, "redirects"),
    ],
)
async def test_a_bad_download_is_said_plainly_and_leaves_nothing(
    github: GitHub, releases: Maker, tmp_path: Path, fault: Fault, words: str
) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    github.download_fault = fault
    error = await failure_of(releases())
    assert error.message.startswith(f"{UPSTREAM} v0.2.9 {ARM64_ARCHIVE}: ")
    assert words in error.message
    assert error.retryable
    assert files_in(tmp_path / "cache") == []
    github.download_fault = None
    assert (await binary_of(releases())).sha256 == SHA256


async def test_more_bytes_than_published_are_not_taken(github: GitHub, releases: Maker) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE[:100]))
    maker = releases()
    release = await maker.find("", ARM64)
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    with pytest.raises(ReleaseError, match="more than the"):
        await maker.binary(release)


async def test_a_silent_download_ends(github: GitHub, releases: Maker) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    github.download_fault = Fault.STALLED
    error = await failure_of(releases(silence=0.3))
    assert "fell silent" in error.message
    assert error.retryable


async def test_an_asset_of_absurd_size_is_not_downloaded(github: GitHub, releases: Maker) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    maker = releases()
    with pytest.raises(ReleaseError, match="300 MB is too large"):
        await maker.binary(replace(await maker.find("", ARM64), size=300 << 20))
    assert github.downloads(ARM64_ARCHIVE) == 0
