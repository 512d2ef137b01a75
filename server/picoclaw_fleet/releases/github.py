"""GitHub's API for releases, and the download of one asset, with every way in which they fail said plainly.

This module imports httpx2, which takes a tenth of a second: import it only where a request is about to be made.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType

import anyio
import httpx2
from pydantic import BaseModel, ValidationError

from picoclaw_fleet.errors import Reason, ReleaseError, UsageError
from picoclaw_fleet.releases.assets import is_tag
from picoclaw_fleet.releases.release import Asset, Published

_TEXT_LIMIT = 8 << 20
"""Bytes. An answer of the API or a checksum file is a hundredth of it."""
_CHUNK = 256 << 10
_DIGEST = re.compile(r"sha256:([0-9a-fA-F]{64})")
_MEND_SOURCE = "Look at release_repo and github_api in the fleet config."
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

# At INFO they log whole URLs and headers, and a redirect to the asset store carries a signature in its query.
for _name in ("httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class _Asset(BaseModel):
    """An asset as the API describes it; what older servers and mirrors leave out has a default."""

    name: str
    size: int
    browser_download_url: str
    url: str = ""
    id: int = 0
    digest: str | None = None
    state: str = "uploaded"


class _Release(BaseModel):
    """A release as the API describes it."""

    tag_name: str
    draft: bool = False
    prerelease: bool = False
    assets: list[_Asset]


class GitHub:
    """A client for one API base: github.com's, an Enterprise server's, a mirror's. Use it as `async with GitHub(...)`.

    Args:
        api: The API's base, such as https://api.github.com.
        token: Sent to the API's own host and to no other; None for none.
        silence: Seconds without a byte after which a server counts as gone.

    Raises:
        UsageError: The base is no address, or the environment's proxy or certificate settings can't be used.
    """

    def __init__(self, api: str, token: str | None, silence: float) -> None:
        try:
            self._api = httpx2.URL(api.rstrip("/"))
        except httpx2.InvalidURL as error:
            raise UsageError(
                f"The base of GitHub's API is no address: {error}", next_step="Mend github_api."
            ) from error
        self._token = token
        self._silence = silence
        try:
            self._client = httpx2.AsyncClient(
                # identity: a .tar.gz must arrive as it was published, whatever a server thinks of its encoding.
                headers={"User-Agent": "picoclaw-fleet", "Accept-Encoding": "identity"},
                timeout=httpx2.Timeout(silence, connect=min(silence, 10.0)),
                follow_redirects=True,
                max_redirects=5,
                mounts={f"all://{host}": None for host in _LOOPBACK},
            )
        except (ImportError, OSError, ValueError, httpx2.InvalidURL):
            raise UsageError(
                "The proxy or certificate settings in the environment can't be used for downloads.",
                next_step="Look at HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE and SSL_CERT_DIR.",
            ) from None  # the cause would show a proxy's password

    async def __aenter__(self) -> GitHub:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def release(self, repository: str, tag: str) -> Published | None:
        """One release of a repository.

        Args:
            repository: "owner/name".
            tag: A tag; "" for the latest release that isn't a pre-release.

        Returns:
            The release, or None where the repository or the release doesn't exist.

        Raises:
            ReleaseError: The API could not be asked, or its answer could not be read.
        """
        what = f"{repository} {tag or 'latest'}"
        url = f"{self._api}/repos/{repository}/releases/{f'tags/{tag}' if tag else 'latest'}"
        async with self._get(url, "application/vnd.github+json", what) as response:
            if response.status_code == HTTPStatus.NOT_FOUND:
                return None
            self._expect_success(response, what)
            body = await self._short_body(response, what)
        try:
            release = _Release.model_validate_json(body)
        except ValidationError as error:
            raise _failed(what, f"{_host(self._api)} did not answer with a release as GitHub describes one.") from error
        if release.draft or (release.prerelease and not tag):
            return None
        if not is_tag(release.tag_name) or (tag and release.tag_name != tag):
            raise _failed(what, f"{_host(self._api)} answered with another release, {release.tag_name[:100]!r}.")
        return Published(
            tag=release.tag_name,
            assets=tuple(
                self._asset(asset) for asset in release.assets if asset.state == "uploaded" and asset.size > 0
            ),
        )

    def _asset(self, asset: _Asset) -> Asset:
        digest = _DIGEST.fullmatch(asset.digest or "")
        # The page's own link costs nothing of the API's hourly quota, but a private repository's page knows no token.
        through_api = self._token and asset.url.startswith(f"{self._api}/")
        return Asset(
            name=asset.name,
            size=asset.size,
            url=asset.url if through_api else asset.browser_download_url,
            digest=digest[1].lower() if digest else "",
            revision=digest[1].lower()[:16] if digest else f"{asset.id}-{asset.size}",
        )

    async def text(self, url: str, what: str) -> str:
        """A short text file, such as the checksums.

        Raises:
            ReleaseError: It could not be downloaded.
        """
        async with self._get(url, "application/octet-stream", what) as response:
            self._expect_success(response, what)
            return (await self._short_body(response, what)).decode(errors="replace")

    async def download(
        self, url: str, what: str, size: int, write: Callable[[bytes], Awaitable[None]], on_bytes: Callable[[int], None]
    ) -> None:
        """Downloads an asset.

        Args:
            url: Where it is.
            what: What it is, for messages.
            size: The bytes it must have.
            write: Takes the content, piece by piece.
            on_bytes: Told the bytes so far after each piece.

        Raises:
            ReleaseError: It could not be downloaded, is a web page, or has another size.
        """
        received = 0
        async with self._get(url, "application/octet-stream", what) as response:
            self._expect_success(response, what)
            async for piece in response.aiter_raw(_CHUNK):
                if received == 0:
                    _refuse_web_page(response, piece, what)
                received += len(piece)
                if received > size:
                    raise _failed(what, f"{response.url.host} sent more than the {size} bytes that were published.")
                await write(piece)
                on_bytes(received)
        if received < size:
            raise _failed(
                what,
                f"the download was cut short at {received} of {size} bytes.",
                retryable=True,
                next_step="Try again.",
            )

    @asynccontextmanager
    async def _get(self, url: str, accept: str, what: str) -> AsyncGenerator[httpx2.Response]:
        try:
            target = httpx2.URL(url)
        except httpx2.InvalidURL as error:
            raise _failed(what, "its address in the release is broken.") from error
        _refuse_plain_text(self._api, target, what)
        headers = {"Accept": accept}
        if self._token and self._is_api(target):
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            async with self._client.stream("GET", target, headers=headers) as response:
                for step in (*response.history, response):
                    _refuse_plain_text(self._api, step.url, what)
                yield response
        except (httpx2.TimeoutException, TimeoutError) as error:
            problem = f"{_host(target)} did not answer in time, or fell silent."
            raise _failed(what, problem, retryable=True, next_step="Try again, or look at the network.") from error
        except httpx2.ConnectError as error:
            raise _failed(
                what,
                f"{_host(target)} can't be reached ({error}).",
                retryable=True,
                next_step="Look at the network, the proxy settings and github_api in the fleet config.",
            ) from error
        except httpx2.HTTPError as error:
            problem = f"the transfer from {_host(target)} broke off ({str(error) or type(error).__name__})."
            raise _failed(what, problem, retryable=True, next_step="Try again.") from error

    def _is_api(self, url: httpx2.URL) -> bool:
        return url.origin == self._api.origin

    async def _short_body(self, response: httpx2.Response, what: str) -> bytes:
        body = bytearray()
        # A server may dribble: each byte in time, and the whole never.
        with anyio.fail_after(2 * self._silence):
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > _TEXT_LIMIT:
                    raise _failed(what, f"{response.url.host} answered with more than {_TEXT_LIMIT >> 20} MB.")
        _refuse_web_page(response, bytes(body[:64]), what)
        return bytes(body)

    def _expect_success(self, response: httpx2.Response, what: str) -> None:
        status, host = response.status_code, response.url.host
        if status == HTTPStatus.OK:
            return
        if _is_rate_limit(response):
            raise ReleaseError(
                f"{what}: {host} allows no more requests until {_end_of_limit(response)}.",
                reason=Reason.RATE_LIMITED,
                retryable=True,
                next_step="Try again then."
                if self._token
                else "Try again then, or set GITHUB_TOKEN, which raises the limit.",
            )
        if status == HTTPStatus.UNAUTHORIZED:
            raise _failed(
                what, f"{host} refuses the credentials.", next_step="Set GITHUB_TOKEN to a valid token, or unset it."
            )
        may_pass = status >= 500 or status == HTTPStatus.REQUEST_TIMEOUT
        raise _failed(
            what,
            f"{host} answered with status {status}.",
            retryable=may_pass,
            next_step="Try again later." if may_pass else _MEND_SOURCE,
        )


def _failed(what: str, problem: str, *, retryable: bool = False, next_step: str = _MEND_SOURCE) -> ReleaseError:
    return ReleaseError(f"{what}: {problem}", reason=Reason.NO_RELEASE, retryable=retryable, next_step=next_step)


def _host(url: httpx2.URL) -> str:
    """Host and port; not the rest, which may hold a password or a signature."""
    return f"{url.host}:{url.port}" if url.port else url.host


def _refuse_plain_text(api: httpx2.URL, url: httpx2.URL, what: str) -> None:
    if api.scheme == "https" and url.scheme != "https":
        raise _failed(what, f"the download would go on without encryption at {url.host}.")


def _refuse_web_page(response: httpx2.Response, start: bytes, what: str) -> None:
    html = response.headers.get("content-type", "").startswith("text/html")
    if html or start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise _failed(
            what,
            f"{response.url.host} answered with a web page.",
            retryable=True,
            next_step="Try again; if it stays so, a proxy or a login page is in between.",
        )


def _is_rate_limit(response: httpx2.Response) -> bool:
    if response.status_code == HTTPStatus.FORBIDDEN:
        # 403 is also the answer for a repository that is closed to us; only these headers tell.
        return response.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in response.headers
    return response.status_code == HTTPStatus.TOO_MANY_REQUESTS


def _end_of_limit(response: httpx2.Response) -> str:
    """When requests are allowed again, in UTC: Retry-After in either of its forms, else x-ratelimit-reset."""
    retry_after = response.headers.get("retry-after", "")
    reset = response.headers.get("x-ratelimit-reset", "")
    try:
        if retry_after.isdecimal():
            end = datetime.now(UTC) + timedelta(seconds=int(retry_after))
        elif retry_after:
            end = parsedate_to_datetime(retry_after).astimezone(UTC)
        else:
            end = datetime.fromtimestamp(int(reset), UTC)
    except (ValueError, OverflowError, OSError):
        return "a time that it does not name"
    return f"{end:%Y-%m-%d %H:%M:%S} UTC"
