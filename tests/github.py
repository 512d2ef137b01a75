"""GitHub as far as releases go: its API, its pages, and the store they redirect to, on loopback and with faults.

with GitHub() as github:
    github.publish("sipeed/picoclaw", "v0.2.9", picoclaw_files(persona.read_bytes()))
    Releases(["sipeed/picoclaw"], github.api, ...)
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import ssl
import stat
import tarfile
import threading
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Literal
from urllib.parse import urlsplit

ARCHITECTURES = ("x86_64", "arm64", "armv6", "armv7", "riscv64", "loong64", "s390x", "mipsle")
HTML = b"<!DOCTYPE html>\n<html><head><title>Unicorn!</title></head></html>\n"
LIMIT_RESET = 1893456000
"""2030-01-01 00:00:00 UTC."""

Said = Literal["right", "wrong", "missing"]
"""What a release says about its assets' digests."""


class Fault(StrEnum):
    """What the API or the downloads do instead of what they should."""

    HTML = "html"
    """A web page with status 200."""
    TRUNCATED = "truncated"
    """Half of the body, and the connection is closed."""
    SHORT = "short"
    """Half of the body, with a Content-Length that fits it."""
    STALLED = "stalled"
    """Half of the body; the rest when `resume` is set."""
    DRIBBLING = "dribbling"
    """A byte now and then, until `resume` is set."""
    BROKEN_JSON = "broken_json"
    RATE_LIMITED = "rate_limited"
    """403 with x-ratelimit-remaining 0 and the reset time."""
    TOO_MANY = "too_many"
    """429 with Retry-After as a date."""
    WAIT = "wait"
    """403 with Retry-After in seconds."""
    FORBIDDEN = "forbidden"
    UNAUTHORIZED = "unauthorized"
    SERVER_ERROR = "server_error"
    REDIRECTED = "redirected"
    """302 to the store, another origin, with a signature in the query."""
    LOOP = "loop"
    """302 to itself."""


_REFUSALS: Mapping[Fault | None, tuple[int, dict[str, str]]] = {
    Fault.RATE_LIMITED: (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(LIMIT_RESET)}),
    Fault.TOO_MANY: (429, {"Retry-After": "Tue, 01 Jan 2030 00:00:00 GMT"}),
    Fault.WAIT: (403, {"Retry-After": "60"}),
    Fault.FORBIDDEN: (403, {}),
    Fault.UNAUTHORIZED: (401, {}),
    Fault.SERVER_ERROR: (502, {}),
}


@dataclass(frozen=True)
class Request:
    place: Literal["api", "asset", "page", "store"]
    path: str
    headers: Message


@dataclass(frozen=True)
class _Asset:
    id: int
    name: str
    content: bytes
    digest: str | None
    state: str


@dataclass(frozen=True)
class _Release:
    repository: str
    tag: str
    prerelease: bool
    assets: list[_Asset] = field(default_factory=list[_Asset])


class GitHub:
    """The server. Use it in `with`; publish and switch faults at any time.

    Args:
        certificate: A PEM file with a key and a certificate for 127.0.0.1, for a server with TLS (the store has none).

    Attributes:
        api: The API's base, with a path as Enterprise servers have it.
        url: The pages' base; another origin than the API's and the store's, as github.com is.
        api_fault: The fault of the API; None for none.
        download_fault: The fault of downloads, checksum files excepted; None for none.
        mirror: True for a server that knows less than GitHub: the newest release is its latest, pre-release or not, and
            its assets have a name, a size and a link to the page.
        requests: All requests so far, in the order of their arrival.
        stalled: Set when a download has stalled.
        resume: Set it to let stalled downloads go on.
    """

    def __init__(self, certificate: Path | None = None) -> None:
        self.api_fault: Fault | None = None
        self.download_fault: Fault | None = None
        self.mirror = False
        self.requests: list[Request] = []
        self.stalled = threading.Event()
        self.resume = threading.Event()
        self._releases: dict[tuple[str, str], _Release] = {}
        self._ids = count(1000)
        self._front = _Server(self)
        self._pages = _Server(self)
        self._store = _Server(self)
        self._servers = (self._front, self._pages, self._store)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            for server in (self._front, self._pages):
                server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://127.0.0.1:{self._pages.server_port}"
        self.store_url = f"http://127.0.0.1:{self._store.server_port}"
        self.api = f"{scheme}://127.0.0.1:{self._front.server_port}/api/v3"

    def __enter__(self) -> GitHub:
        for server in self._servers:
            server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.resume.set()
        for server in self._servers:
            server.stop()

    def publish(
        self,
        repository: str,
        tag: str,
        files: Mapping[str, bytes],
        *,
        digests: Said = "right",
        checksums: Said = "right",
        checksums_name: str = "",
        prerelease: bool = False,
        state: str = "uploaded",
    ) -> None:
        """Publishes a release, in place of one with the same tag; the last one that isn't a pre-release is latest."""
        names = checksums_name or f"picoclaw_{tag.removeprefix('v')}_checksums.txt"
        published = dict(files)
        if checksums != "missing":
            published[names] = "".join(
                f"{_sha256(content, checksums)}  {name}\n" for name, content in files.items()
            ).encode()
        assets = [
            _Asset(
                id=next(self._ids),
                name=name,
                content=content,
                digest=None if digests == "missing" else f"sha256:{_sha256(content, digests)}",
                state=state,
            )
            for name, content in published.items()
        ]
        self._releases.pop((repository, tag), None)
        self._releases[repository, tag] = _Release(repository, tag, prerelease, assets)

    def downloads(self, name: str) -> int:
        """How many requests for an asset came, redirected ones counted once."""
        return sum(request.path.endswith(f"/{name}") and request.place == "page" for request in self.requests)

    def find(self, path: str) -> _Release | None:
        """The release that an API path below /repos/ means."""
        owner, name, _, *rest = path.split("/")
        if rest == ["latest"]:
            of_repository = [
                release
                for (repository, _), release in self._releases.items()
                if repository == f"{owner}/{name}" and (self.mirror or not release.prerelease)
            ]
            return of_repository[-1] if of_repository else None
        return self._releases.get((f"{owner}/{name}", rest[1])) if rest[0] == "tags" else None

    def describe(self, release: _Release) -> bytes:
        """A release as GitHub's API describes it, as far as anybody looks."""
        base = f"{self.url}/{release.repository}/releases/download/{release.tag}"
        assets = [
            {
                "id": asset.id,
                "url": f"{self.api}/repos/{release.repository}/releases/assets/{asset.id}",
                "name": asset.name,
                "size": len(asset.content),
                "digest": asset.digest,
                "state": asset.state,
                "browser_download_url": f"{base}/{asset.name}",
            }
            for asset in release.assets
        ]
        if self.mirror:
            known = ("name", "size", "browser_download_url")
            assets = [{key: asset[key] for key in known} for asset in assets]
        return json.dumps(
            {"tag_name": release.tag, "draft": False, "prerelease": release.prerelease, "assets": assets}
        ).encode()

    def asset(self, identity: str) -> _Asset | None:
        """An asset by `owner/name/tag/file` or by its id."""
        for release in self._releases.values():
            for asset in release.assets:
                if identity in (f"{release.repository}/{release.tag}/{asset.name}", str(asset.id)):
                    return asset
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, github: GitHub) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.github = github
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        github, path = self.server.github, urlsplit(self.path).path
        if self.server.server_port == urlsplit(github.store_url).port:
            self._log("store")
            self._send_asset(path.removeprefix("/"), None)
        elif path.startswith("/api/v3/repos/") and "/releases/assets/" in path:
            self._log("asset")
            self._send_asset(path.rpartition("/")[2], github.download_fault)
        elif path.startswith("/api/v3/repos/"):
            self._log("api")
            release = github.find(path.removeprefix("/api/v3/repos/"))
            if release is None and github.api_fault is None:
                self._send(404, b'{"message": "Not Found"}')
            else:
                self._send_faulty(github.describe(release) if release else b"{}", github.api_fault, "application/json")
        else:
            self._log("page")
            checksums = path.endswith(("checksums.txt", "sha256sums.txt"))
            identity = path.removeprefix("/").replace("/releases/download/", "/")
            self._send_asset(identity, None if checksums else github.download_fault)

    def _log(self, place: Literal["api", "asset", "page", "store"]) -> None:
        self.server.github.requests.append(Request(place, self.path, self.headers))

    def _send_asset(self, identity: str, fault: Fault | None) -> None:
        asset = self.server.github.asset(identity)
        if asset is None:
            self._send(404, b"Not Found")
        elif fault is Fault.REDIRECTED:
            self._redirect(f"{self.server.github.store_url}/{asset.id}?signature=s1gn4tur3")
        else:
            self._send_faulty(asset.content, fault, "application/octet-stream")

    def _send_faulty(self, body: bytes, fault: Fault | None, kind: str) -> None:
        half, headers = body[: len(body) // 2], {"Content-Type": kind}
        if fault in _REFUSALS:
            status, headers = _REFUSALS[fault]
            self._send(status, b"{}", headers)
        elif fault is Fault.HTML:
            self._send(200, HTML, {"Content-Type": "text/html; charset=utf-8"})
        elif fault is Fault.BROKEN_JSON:
            self._send(200, b'{"tag_name": "v0.2', headers)
        elif fault is Fault.SHORT:
            self._send(200, half, headers)
        elif fault is Fault.TRUNCATED:
            self._send(200, half, headers, length=len(body))
        elif fault is Fault.STALLED:
            self._send(200, half, headers, length=len(body))
            self.server.github.stalled.set()
            self.server.github.resume.wait(30)
            self.wfile.write(body[len(half) :])
        elif fault is Fault.DRIBBLING:
            self._send(200, b"", headers, length=1 << 20)
            while not self.server.github.resume.wait(0.05):
                self.wfile.write(b" ")
        elif fault is Fault.LOOP:
            self._redirect(self.path)
        else:
            self._send(200, body, headers)

    def _redirect(self, target: str) -> None:
        self._send(302, b"", {"Location": target})

    def _send(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None, length: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr: `requests` has it all."""


def picoclaw_files(binary: bytes, architectures: Iterable[str] = ARCHITECTURES) -> dict[str, bytes]:
    """The assets of a release since v0.1.2: one archive per architecture, and the decoys that lie beside them.

    Args:
        binary: The executable, such as a persona's; the same one for every architecture.
        architectures: goreleaser's words.
    """
    archive = tar_gz(
        {
            "LICENSE": b"MIT License\n",
            "README.md": b"# PicoClaw\n",
            "picoclaw-launcher": b"#!/bin/sh\necho launcher\n",
            "picoclaw": binary,
        }
    )
    files = {f"picoclaw_Linux_{architecture}.tar.gz": archive for architecture in architectures}
    decoy = b"not for this machine\n"
    return {
        **{f"picoclaw_{architecture}.{kind}": decoy for architecture in architectures for kind in ("deb", "rpm")},
        "picoclaw_aarch64.deb": decoy,
        "picoclaw_Windows_x86_64.zip": archive,
        "picoclaw_Windows_arm64.zip": archive,
        "picoclaw-windows-amd64.exe": decoy,
        **files,
        **{f"{name}.sbom.json": decoy for name in files},
    }


def tar_gz(files: Mapping[str, bytes], special: Iterable[tarfile.TarInfo] = ()) -> bytes:
    """A .tar.gz of executable files, with members of other kinds before them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member in special:
            tar.addfile(member)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), compresslevel=1, mtime=0)


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """A member without content: a link to target, a device, a FIFO, a folder, by tarfile's type."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zipped(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    """A .zip of executable files and symbolic links."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFREG | 0o755) << 16
            archive.writestr(info, content)
        for name, target in (links or {}).items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, target)
    return buffer.getvalue()


def _sha256(content: bytes, said: Said) -> str:
    digest = hashlib.sha256(content).hexdigest()
    return digest if said == "right" else digest[::-1]
