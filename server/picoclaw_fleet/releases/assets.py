"""Names: which machines there are builds for, and what those builds are called in a release.

Asset names are compared whole. PicoClaw's own updater looks for substrings and takes `arm64` for `arm`, and a release
carries .deb, .rpm and Windows files whose names hold the same words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from picoclaw_fleet.errors import Reason, ReleaseError, UsageError

_SYSTEMS = {"Linux": "Linux", "Darwin": "Darwin", "FreeBSD": "Freebsd", "NetBSD": "Netbsd"}
"""`uname -s` to the word in goreleaser's names."""

_MACHINES = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "armv8l": "armv7",
    "armv7l": "armv7",
    "armv7": "armv7",
    "armv6l": "armv6",
    "armv6": "armv6",
    "riscv64": "riscv64",
    "loongarch64": "loong64",
    "loong64": "loong64",
    "s390x": "s390x",
    "mipsle": "mipsle",
}
"""`uname -m`, or Go's own word, to Go's word for the architecture. armv8l is a 64-bit kernel's 32-bit personality."""

_MIPS = {("mips", "little"): "mipsle", ("mips64", "big"): "mips64"}
"""`uname -m` says mips for both byte orders; PicoClaw is built for one of each width."""

_OLDER_BUILDS = {"armv7": ("armv6",)}
"""Builds that run on a newer machine too: v0.1.2 has armv6 and no armv7."""

_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_CHECKSUM_FILE = re.compile(r"(picoclaw_.+_)?checksums\.txt|sha256sums(\.txt)?", re.IGNORECASE)
_CHECKSUM_LINE = re.compile(r"([0-9a-fA-F]{64})[ \t]+\*?(\S.*)")


@dataclass(frozen=True, slots=True)
class Platform:
    """A kind of machine that PicoClaw may be built for.

    Attributes:
        system: goreleaser's word for the operating system: Linux, Darwin, Freebsd or Netbsd.
        arch: Go's word for the architecture, with the ARM version: amd64, arm64, armv6, armv7, riscv64, ...
    """

    system: str
    arch: str

    @classmethod
    def from_uname(cls, system: str, machine: str, byte_order: str = "") -> Platform:
        """Reads what the host says about itself.

        Args:
            system: The output of `uname -s`.
            machine: The output of `uname -m`; Go's words (amd64, arm64, ...) are understood as well.
            byte_order: "little" or "big"; only mips needs it. "" when it isn't known.

        Raises:
            ReleaseError: no_release, because PicoClaw isn't built for such a machine (i686, big-endian mips, ...).
        """
        arch = _MACHINES.get(machine) or _MIPS.get((machine, byte_order))
        if system not in _SYSTEMS or arch is None:
            kind = " ".join(word for word in (system, machine, byte_order and f"({byte_order}-endian)") if word)
            raise ReleaseError(
                f"There is no PicoClaw build for {kind or 'a machine that does not name itself'}.",
                reason=Reason.NO_RELEASE,
                next_step="Build PicoClaw for it, then: picoclaw-fleet deploy --file FILE HOST. Or leave the host out.",
            )
        return cls(_SYSTEMS[system], arch)

    @property
    def asset_names(self) -> tuple[str, ...]:
        """Every name a build for this machine may have, the best first."""
        return tuple(name for arch in (self.arch, *_OLDER_BUILDS.get(self.arch, ())) for name in self._names(arch))

    def _names(self, arch: str) -> Iterable[str]:
        # v0.1.2 and later: goreleaser. It calls amd64 what uname calls it.
        stem = f"picoclaw_{self.system}_{'x86_64' if arch == 'amd64' else arch}"
        yield from (f"{stem}.tar.gz", f"{stem}.zip")
        # v0.1.1, and the names that the original skill asked for.
        system = self.system.lower()
        yield from (f"picoclaw-{system}-{arch}", f"picoclaw-{arch}-{system}")
        if self.system == "Linux":
            yield f"picoclaw-{arch}"

    def __str__(self) -> str:
        return f"{self.system} {self.arch}"


def tag_spellings(version: str) -> tuple[str, ...]:
    """The tags that a wanted version may mean; () for the latest release.

    Args:
        version: "" or "latest", or a tag. `0.2.9` and `v0.2.9` mean the same: `picoclaw version` leaves out the v.

    Raises:
        UsageError: It isn't a tag; a path to a file, for one.
    """
    if version in ("", "latest"):
        return ()
    if not _TAG.fullmatch(version):
        raise UsageError(
            f"{version[:80]!r} isn't a version of PicoClaw.", next_step="Use latest or a release's tag, such as v0.2.9."
        )
    if version[0].isdigit():
        return (version, f"v{version}")
    if version[0] == "v" and version[1:2].isdigit():
        return (version, version[1:])
    return (version,)


def is_tag(text: str) -> bool:
    """True for a tag that is safe as a folder's name."""
    return _TAG.fullmatch(text) is not None


def is_checksum_file(asset: str) -> bool:
    """True for the names of goreleaser's checksum file and of v0.1.1's."""
    return _CHECKSUM_FILE.fullmatch(asset) is not None


def digests_for(asset: str, checksums: str) -> set[str]:
    """The SHA-256 digests, in lower case, that a checksum file has for one asset: one, if all is well.

    v0.1.1 lists `build/picoclaw-linux-arm64`, so folders before the name don't count.
    """
    lines = (_CHECKSUM_LINE.fullmatch(line.strip()) for line in checksums.splitlines())
    return {line[1].lower() for line in lines if line and line[2].rpartition("/")[2] == asset}
