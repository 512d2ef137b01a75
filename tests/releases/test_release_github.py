"""GitHub's bad answers are said plainly, and the token goes nowhere else."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.github import Fault, GitHub, picoclaw_files
from tests.releases.scenario import (
    ARM64,
    EXECUTABLE,
    SHA256,
    TOKEN,
    UPSTREAM,
    Maker,
    binary_of,
    failure_of,
)

from picoclaw_fleet.errors import Reason, ReleaseError, UsageError
from picoclaw_fleet.releases import Releases, Verification


@pytest.mark.parametrize(
    ("fault", "reason", "retryable", "words"),
    [
        (Fault.HTML, Reason.NO_RELEASE, True, "answered with a web page"),
        (Fault.TRUNCATED, Reason.NO_RELEASE, True, "broke off"),
        (Fault.BROKEN_JSON, Reason.NO_RELEASE, False, "did not answer with a release"),
        (Fault.SERVER_ERROR, Reason.NO_RELEASE, True, "status 502"),
        (Fault.FORBIDDEN, Reason.NO_RELEASE, False, "status 403"),
        (Fault.UNAUTHORIZED, Reason.NO_RELEASE, False, "refuses the credentials"),
        (Fault.LOOP, Reason.NO_RELEASE, True, "redirects"),
        (Fault.RATE_LIMITED, Reason.RATE_LIMITED, True, "until 2030-01-01 00:00:00 UTC"),
        (Fault.TOO_MANY, Reason.RATE_LIMITED, True, "until 2030-01-01 00:00:00 UTC"),
        (Fault.WAIT, Reason.RATE_LIMITED, True, " UTC."),
    ],
)
async def test_a_bad_answer_of_the_api_is_said_plainly(
    github: GitHub, releases: Maker, fault: Fault, reason: Reason, retryable: bool, words: str
) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    github.api_fault = fault
    error = await failure_of(releases(UPSTREAM))
    assert (error.reason, error.retryable) == (reason, retryable)
    assert words in error.message
    assert UPSTREAM in error.message
    assert error.next_step


async def test_an_api_that_dribbles_is_not_waited_for(github: GitHub, releases: Maker) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    github.api_fault = Fault.DRIBBLING
    assert (await failure_of(releases(UPSTREAM, silence=0.3))).retryable


async def test_a_silent_api_ends_and_one_failure_serves_all_who_waited(github: GitHub, releases: Maker) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    github.api_fault = Fault.STALLED
    shared, errors = releases(UPSTREAM, silence=0.3), list[ReleaseError]()

    async def deploy() -> None:
        errors.append(await failure_of(shared))

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(deploy)
    assert len(errors) == 10
    assert all("fell silent" in error.message and error.retryable for error in errors)
    assert len(github.requests) == 1


async def test_an_unreachable_api_is_said_plainly(tmp_path: Path) -> None:
    closed = Releases([UPSTREAM], "http://127.0.0.1:1", None, tmp_path, False)
    error = await failure_of(closed)
    assert "127.0.0.1:1 can't be reached" in error.message
    assert error.retryable


async def test_loopback_is_never_asked_through_a_proxy(
    github: GitHub, releases: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    assert (await binary_of(releases())).sha256 == SHA256


async def test_broken_proxy_settings_are_named_without_their_password(
    releases: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://me:s3cret@proxy")
    with pytest.raises(UsageError, match="HTTPS_PROXY") as caught:
        await releases().find("", ARM64)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


async def test_the_token_goes_to_the_api_only(
    github: GitHub, releases: Maker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    github.download_fault = Fault.REDIRECTED
    assert (await binary_of(releases(token=TOKEN))).sha256 == SHA256
    sent = {request.place: request.headers["Authorization"] for request in github.requests}
    assert sent == {"api": f"Bearer {TOKEN}", "asset": f"Bearer {TOKEN}", "store": None}
    assert TOKEN not in caplog.text
    assert "s1gn4tur3" not in caplog.text


async def test_a_page_on_another_host_gets_no_token(github: GitHub, releases: Maker) -> None:
    github.mirror = True
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    assert (await binary_of(releases(token=TOKEN))).verified is Verification.CHECKSUMS
    sent = {request.place: request.headers["Authorization"] for request in github.requests}
    assert sent == {"api": f"Bearer {TOKEN}", "page": None}


async def test_without_a_token_redirects_are_followed_from_the_page(github: GitHub, releases: Maker) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    github.download_fault = Fault.REDIRECTED
    assert (await binary_of(releases())).sha256 == SHA256
    assert [request.place for request in github.requests] == ["api", "api", "page", "store"]


def certificate_for_loopback(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding, nothing = serialization.Encoding.PEM, serialization.NoEncryption()
    file = folder / "loopback.pem"
    file.write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, nothing) + certificate.public_bytes(encoding)
    )
    return file


async def test_a_download_never_leaves_encryption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = certificate_for_loopback(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with GitHub(certificate) as github:
        github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
        github.download_fault = Fault.REDIRECTED
        encrypted = Releases([UPSTREAM], github.api, None, tmp_path / "cache", False)
        error = await failure_of(encrypted)
        assert "without encryption" in error.message
        github.download_fault = None
        assert (await binary_of(encrypted)).sha256 == SHA256


@pytest.mark.parametrize("fault", list(Fault))
async def test_no_error_shows_the_token(github: GitHub, releases: Maker, fault: Fault) -> None:
    github.publish(UPSTREAM, "v0.2.9", picoclaw_files(EXECUTABLE))
    github.api_fault = fault
    github.download_fault = Fault.TRUNCATED
    error: BaseException | None = await failure_of(releases(UPSTREAM, token=TOKEN, silence=0.3))
    while error is not None:
        assert TOKEN not in f"{error!s} {error!r}"
        error = error.__cause__ or error.__context__


def test_a_token_that_would_break_a_header_is_refused_unshown(releases: Maker) -> None:
    with pytest.raises(UsageError, match="GITHUB_TOKEN") as caught:
        releases(token="ghp_one\nghp_two")
    assert "ghp_" not in str(caught.value)
