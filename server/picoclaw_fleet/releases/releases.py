"""From a wanted version and a kind of machine to a verified executable on the controller's disk."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio import to_thread

from picoclaw_fleet.errors import Reason, ReleaseError, UsageError
from picoclaw_fleet.releases.archive import is_archive
from picoclaw_fleet.releases.assets import Platform, is_checksum_file, tag_spellings
from picoclaw_fleet.releases.cache import entry_of, load, locked
from picoclaw_fleet.releases.fetch import adopt, fetch
from picoclaw_fleet.releases.flight import Flight
from picoclaw_fleet.releases.release import Binary, Published, Release, Verification

if TYPE_CHECKING:
    from picoclaw_fleet.releases.github import GitHub

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9_.-]*[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_LOOKUP_LIFETIME = 300.0
"""Seconds for which the API's answer holds: a deploy to forty hosts asks once, of sixty times an hour."""

OnBytes = Callable[[int, int], None]
"""Told the bytes so far and the bytes in all."""


class Releases:
    """Finds, downloads, verifies and caches PicoClaw. Any number of calls may run at once; each thing is done once.

    Args:
        repositories: "owner/name", in the order in which they are asked.
        api: The base of GitHub's API, such as https://api.github.com.
        token: The value of GITHUB_TOKEN, sent to the API's host only; None or "" for none.
        cache: The folder for binaries; it is made when it is needed.
        allow_unverified: Take an asset for which neither the API nor a checksum file has a digest. A digest that
            doesn't match is refused in any case.
        silence: Seconds without a byte after which a server counts as gone.

    Raises:
        UsageError: A repository, the API's address or the token can't be one.
    """

    def __init__(
        self,
        repositories: Sequence[str],
        api: str,
        token: str | None,
        cache: Path,
        allow_unverified: bool,
        *,
        silence: float = 30.0,
    ) -> None:
        for repository in repositories:
            if not _REPOSITORY.fullmatch(repository):
                raise UsageError(f"{repository!r} isn't a GitHub repository.", next_step="Write it as owner/name.")
        if not api.startswith(("https://", "http://")):
            raise UsageError("The base of GitHub's API has to begin with https://.", next_step="Mend github_api.")
        token = (token or "").strip()
        if not (token.isascii() and token.isprintable() and " " not in token):
            raise UsageError("GITHUB_TOKEN can't be a token: it holds blanks or control characters.")
        self._repositories = tuple(repositories)
        self._api = api
        self._token = token or None
        self._cache = cache
        self._allow_unverified = allow_unverified
        self._silence = silence
        self._lookups: defaultdict[tuple[str, ...], Flight[Published | None]] = defaultdict(Flight)
        self._answers: dict[tuple[str, ...], tuple[float, Published | None]] = {}
        self._downloads: defaultdict[Path, Flight[Binary]] = defaultdict(Flight)
        self._watchers: defaultdict[Path, list[OnBytes]] = defaultdict(list)

    async def find(self, version: str, platform: Platform) -> Release:
        """The asset to install, from the first repository that has it.

        Args:
            version: "" or "latest", or a release's tag, with or without its v. Pre-releases, nightly among them, are
                taken only when they are named.
            platform: The kind of machine.

        Raises:
            UsageError: The version is no tag.
            ReleaseError: no_release where no repository has it. A repository that can't be asked ends the search: the
                next one is another source, and an outage must not change where a worker's binary comes from.
        """
        tags = tag_spellings(version) or ("",)
        misses: list[str] = []
        for repository in self._repositories:
            key = (repository, *tags)
            published = await self._lookups[key].join(lambda key=key: self._look_up(*key))
            if published is None:
                misses.append(f"{repository} has no release {tags[0]}".rstrip())
            elif release := _build_for(platform, repository, published):
                return release
            else:
                misses.append(f"{repository} {published.tag} has no file for it")
        raise ReleaseError(
            f"There is no PicoClaw release for {platform}: {'; '.join(misses)}.",
            reason=Reason.NO_RELEASE,
            next_step="Choose another version, or name a repository that has it in release_repo.",
        )

    async def binary(self, release: Release, on_bytes: OnBytes | None = None) -> Binary:
        """The executable of a release: from the cache, else downloaded, verified and unpacked.

        Args:
            release: What `find` found.
            on_bytes: Called while the release is downloaded by this process, also when another call started that.

        Raises:
            ReleaseError: It could not be downloaded, does not match its digest, has none, or holds no executable.
        """
        entry = entry_of(self._cache, release)
        with self._watching(entry, on_bytes):
            return await self._downloads[entry].join(lambda: self._obtain(release, entry))

    async def local(self, path: Path) -> Binary:
        """The executable in an archive or a file of the user's own, copied to the cache.

        For the command line and the config only: through a tool it would carry any file of ours to a host.

        Args:
            path: A .tar.gz or .zip with a member picoclaw, or the executable itself.

        Raises:
            UsageError: There is no such file, it can't be read, or is neither of these.
            ReleaseError: The archive is damaged or hostile, or the cache can't be used.
        """
        if not await anyio.Path(path).is_file():
            raise UsageError(f"{path} isn't a file.", next_step="Name a PicoClaw archive or executable.")
        try:
            async with await anyio.open_file(path, "rb") as file:
                beginning = await file.read(4)
        except OSError as error:
            raise UsageError(
                f"{path} can't be read: {error.strerror}.", next_step="Let the user that runs this read it."
            ) from error
        # Anything else would be run by the host's shell, line by line.
        if not is_archive(path.name) and not beginning.startswith((b"\x7fELF", b"#!")):
            raise UsageError(
                f"{path} is neither a program for Linux nor a .tar.gz or .zip.",
                next_step="Name a PicoClaw archive or executable.",
            )
        return await self._downloads[path].join(lambda: self._copy(path))

    async def _look_up(self, repository: str, *tags: str) -> Published | None:
        key = (repository, *tags)
        until, published = self._answers.get(key, (0.0, None))
        if time.monotonic() < until:
            return published
        async with await self._connect() as github:
            for tag in tags:
                if published := await github.release(repository, tag):
                    break
        self._answers[key] = (time.monotonic() + _LOOKUP_LIFETIME, published)
        return published

    async def _obtain(self, release: Release, entry: Path) -> Binary:
        with self._usable_cache():
            if binary := await self._cached(entry):
                return binary
            async with locked(entry):
                # Another process may have had the lock until now, to download the same.
                return await self._cached(entry) or await self._download(release, entry)

    async def _cached(self, entry: Path) -> Binary | None:
        binary = await load(entry)
        if binary and binary.verified is Verification.NONE and not self._allow_unverified:
            return None
        return binary

    async def _download(self, release: Release, entry: Path) -> Binary:
        def tell(received: int) -> None:
            for on_bytes in tuple(self._watchers[entry]):
                on_bytes(received, release.size)

        async with await self._connect() as github:
            return await fetch(github, release, entry, allow_unverified=self._allow_unverified, on_bytes=tell)

    async def _copy(self, path: Path) -> Binary:
        with self._usable_cache():
            return await adopt(path, self._cache / "local")

    async def _connect(self) -> GitHub:
        def connect() -> GitHub:
            from picoclaw_fleet.releases.github import GitHub

            return GitHub(self._api, self._token, self._silence)

        # In a thread: importing httpx2 and loading the certificates would hold up the event loop for 200 ms.
        return await to_thread.run_sync(connect)

    @contextmanager
    def _watching(self, entry: Path, on_bytes: OnBytes | None) -> Generator[None]:
        if on_bytes is None:
            yield
            return
        self._watchers[entry].append(on_bytes)
        try:
            yield
        finally:
            self._watchers[entry].remove(on_bytes)

    @contextmanager
    def _usable_cache(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise ReleaseError(
                f"The cache of PicoClaw releases, {self._cache}, can't be used: {error.strerror or error}.",
                reason=Reason.NO_RELEASE,
                next_step="Make room there, or make it writable.",
            ) from error


def _build_for(platform: Platform, repository: str, published: Published) -> Release | None:
    assets = {asset.name: asset for asset in published.assets}
    asset = next((assets[name] for name in platform.asset_names if name in assets), None)
    if asset is None:
        return None
    return Release(
        source=repository,
        tag=published.tag,
        asset=asset.name,
        size=asset.size,
        url=asset.url,
        digest=asset.digest,
        checksums_url=next((asset.url for asset in published.assets if is_checksum_file(asset.name)), ""),
        revision=asset.revision,
    )
