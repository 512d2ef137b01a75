"""Only picoclaw comes out of an archive, and only out of a decent one."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.github import GitHub, member, tar_gz, zipped
from tests.releases.scenario import (
    ARM64_ARCHIVE,
    EXECUTABLE,
    UPSTREAM,
    Maker,
    failure_of,
    files_in,
)

from picoclaw_fleet.errors import ReleaseError
from picoclaw_fleet.releases import archive as archives
from picoclaw_fleet.releases.archive import unpack

HOSTILE = {
    "a link named picoclaw": ("is a link", tar_gz({}, [member("picoclaw", tarfile.SYMTYPE, "/etc/passwd")])),
    "a hard link": ("is a link", tar_gz({"picoclaw": b"x"}, [member("y", tarfile.LNKTYPE, "/etc/passwd")])),
    "a link elsewhere": ("is a link", tar_gz({"picoclaw": b"x"}, [member("y", tarfile.SYMTYPE, "..")])),
    "a device": ("a device", tar_gz({"picoclaw": b"x"}, [member("null", tarfile.CHRTYPE)])),
    "a pipe": ("a device", tar_gz({"picoclaw": b"x"}, [member("pipe", tarfile.FIFOTYPE)])),
    "an absolute path": ("points out", tar_gz({"/usr/bin/picoclaw": b"x"})),
    "a path upwards": ("points out", tar_gz({"picoclaw": b"x", "../../.bashrc": b"x"})),
    "a path upwards to picoclaw": ("points out", tar_gz({"a/../../picoclaw": b"x"})),
    "no picoclaw": ("holds no file", tar_gz({"picoclaw-launcher": b"x", "picoclaw.txt": b"x"})),
    "a folder named picoclaw": ("holds no file", tar_gz({}, [member("picoclaw", tarfile.DIRTYPE)])),
    "two of them": ("more than one", tar_gz({"a/picoclaw": b"x", "b/picoclaw": b"y"})),
    "no archive at all": ("damaged", b"#!/bin/sh\n"),
    "nothing": ("damaged", b"\n"),
    "half an archive": ("damaged", tar_gz({"picoclaw": EXECUTABLE})[:300_000]),
}


@pytest.mark.parametrize("case", HOSTILE)
async def test_a_hostile_archive_is_refused_though_its_digest_fits(
    github: GitHub, releases: Maker, tmp_path: Path, case: str
) -> None:
    words, content = HOSTILE[case]
    github.publish(UPSTREAM, "v0.2.9", {ARM64_ARCHIVE: content})
    error = await failure_of(releases())
    assert error.message.startswith(f"{ARM64_ARCHIVE} was refused: ")
    assert words in error.message
    assert files_in(tmp_path / "cache") == []


def test_an_archive_that_unpacks_to_far_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_CONTENT", 1 << 20)
    for name, content in (
        ("bomb.tar.gz", tar_gz({"README.md": bytes(2 << 20), "picoclaw": b"x"})),
        ("bomb.zip", zipped({"README.md": bytes(2 << 20), "picoclaw": b"x"})),
    ):
        bomb = tmp_path / name
        bomb.write_bytes(content)
        with pytest.raises(ReleaseError, match="unpacks to more than 1 MB"):
            unpack(bomb, name, tmp_path / "picoclaw")
        assert not (tmp_path / "picoclaw").exists()


@pytest.mark.parametrize("name", ["picoclaw", "./picoclaw", "picoclaw_0.2.9/picoclaw"])
@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_picoclaw_is_found_at_the_top_or_in_a_folder(tmp_path: Path, name: str, kind: str) -> None:
    pack = tar_gz if kind == "tar.gz" else zipped
    archive, target = tmp_path / f"a.{kind}", tmp_path / "picoclaw"
    archive.write_bytes(pack({"README.md": b"read", name: EXECUTABLE, "picoclaw-launcher": b"other"}))
    unpack(archive, archive.name, target)
    assert target.read_bytes() == EXECUTABLE


HOSTILE_ZIPS = {
    "a link named picoclaw": zipped({}, {"picoclaw": "/etc/passwd"}),
    "a link elsewhere": zipped({"picoclaw": b"x"}, {"other": ".."}),
    "a path upwards": zipped({"../picoclaw": b"x"}),
    "an absolute path": zipped({"/picoclaw": b"x"}),
    "no picoclaw": zipped({"README.md": b"x"}),
    "half an archive": zipped({"picoclaw": EXECUTABLE})[:-40],
    "no archive at all": b"PK",
}


@pytest.mark.parametrize("case", HOSTILE_ZIPS)
def test_a_hostile_zip_is_refused(tmp_path: Path, case: str) -> None:
    archive = tmp_path / "a.zip"
    archive.write_bytes(HOSTILE_ZIPS[case])
    with pytest.raises(ReleaseError, match=r"a\.zip was refused"):
        unpack(archive, archive.name, tmp_path / "picoclaw")


@settings(max_examples=max(300, settings().max_examples))
@given(data=st.data(), kind=st.sampled_from(["tar.gz", "zip"]))
def test_no_damage_gets_past_as_anything_but_a_refusal(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str
) -> None:
    files = {"README.md": b"read me", "picoclaw": b"#!/bin/sh\n"}
    damaged = bytearray(gzip.decompress(tar_gz(files)) if kind == "tar.gz" else zipped(files))
    end = min(len(damaged), 2600) - 1
    for place in data.draw(st.lists(st.integers(0, end), min_size=1, max_size=8)):
        damaged[place] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("damaged")
    archive, target = folder / f"a.{kind}", folder / "picoclaw"
    archive.write_bytes(gzip.compress(damaged, compresslevel=1) if kind == "tar.gz" else bytes(damaged))
    try:
        unpack(archive, archive.name, target)
    except ReleaseError:
        return
    assert target.is_file()
