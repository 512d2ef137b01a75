"""What a release offers for one machine, and the binary that came of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Verification(StrEnum):
    """What a binary was checked against before it was used."""

    DIGEST = "digest"
    """The digest that GitHub computed when the asset was uploaded."""
    CHECKSUMS = "checksums"
    """The checksum file in the same release."""
    LOCAL = "local"
    """Nothing: it is a file of the user's own."""
    NONE = "none"
    """Nothing: the release publishes no digest and allow_unverified is set."""


@dataclass(frozen=True, slots=True)
class Asset:
    """One finished upload of a release, such as picoclaw_Linux_arm64.tar.gz; the fields are those of Release."""

    name: str
    size: int
    url: str
    digest: str
    revision: str


@dataclass(frozen=True, slots=True)
class Published:
    """A release as its repository publishes it."""

    tag: str
    assets: tuple[Asset, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """One asset of one release: the build for one kind of machine.

    Attributes:
        source: The repository, "owner/name".
        tag: The release's tag, such as v0.2.9.
        asset: The asset's file name.
        size: The asset's size in bytes.
        url: Where to download it.
        digest: Its SHA-256 in lower-case hexadecimal; "" where the API has none.
        checksums_url: Where the release's checksum file is; "" where it has none.
        revision: Changes when the asset is uploaded anew under the same tag, as nightly's are every day.
    """

    source: str
    tag: str
    asset: str
    size: int
    url: str
    digest: str
    checksums_url: str
    revision: str

    @property
    def version(self) -> str:
        """The tag as `picoclaw version` prints it: 0.2.9 for v0.2.9."""
        return self.tag[1:] if self.tag[0] == "v" and self.tag[1:2].isdigit() else self.tag

    def __str__(self) -> str:
        return f"{self.source} {self.tag} {self.asset}"


@dataclass(frozen=True, slots=True)
class Binary:
    """A PicoClaw executable in the cache, whole and checked.

    Attributes:
        path: The file; its content never changes.
        version: The release's version, 0.2.9 for v0.2.9; "" for a local file, which has to be asked.
        sha256: Of the executable itself, in lower-case hexadecimal.
        source: The repository, "owner/name", or the path of the local file.
        verified: What the download was checked against.
    """

    path: Path
    version: str
    sha256: str
    source: str
    verified: Verification
