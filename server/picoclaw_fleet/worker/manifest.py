"""What deploy wrote down on a host about what it did there: lines of a kind and a value, read by sh as well as here.

What is installed stands there once and is written last: in-use, version, says, source, digest, scope, sent, settled.
What a teardown has to know is noted before it is done: made, folder, file, env, path, onboard, old-script.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is installed, as the last deploy that came to its end left it; all empty where there was none.

    Attributes:
        in_use: The folder below versions.
        version: The release's version.
        says: What the binary says that it is; the settings are written for that.
        digest: SHA-256 of the binary.
    """

    in_use: str = ""
    version: str = ""
    says: str = ""
    digest: str = ""

    @classmethod
    def from_lines(cls, lines: Iterable[str]) -> Manifest:
        """Reads it; kinds that are not known here are passed over."""
        values: dict[str, str] = {}
        for line in lines:
            kind, _, value = line.partition(" ")
            values[kind] = value
        return cls(
            in_use=values.get("in-use", ""),
            version=values.get("version", ""),
            says=values.get("says", ""),
            digest=values.get("digest", ""),
        )
