"""Names: platforms, assets, tags and checksum lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from picoclaw_fleet.errors import Reason, ReleaseError, UsageError
from picoclaw_fleet.releases import Platform
from picoclaw_fleet.releases.assets import digests_for, tag_spellings


@pytest.mark.parametrize(
    ("system", "machine", "byte_order", "asset"),
    [
        ("Linux", "x86_64", "", "picoclaw_Linux_x86_64.tar.gz"),
        ("Linux", "amd64", "", "picoclaw_Linux_x86_64.tar.gz"),
        ("Linux", "aarch64", "", "picoclaw_Linux_arm64.tar.gz"),
        ("Linux", "arm64", "", "picoclaw_Linux_arm64.tar.gz"),
        ("Linux", "armv8l", "", "picoclaw_Linux_armv7.tar.gz"),
        ("Linux", "armv7l", "", "picoclaw_Linux_armv7.tar.gz"),
        ("Linux", "armv6l", "", "picoclaw_Linux_armv6.tar.gz"),
        ("Linux", "riscv64", "", "picoclaw_Linux_riscv64.tar.gz"),
        ("Linux", "loongarch64", "", "picoclaw_Linux_loong64.tar.gz"),
        ("Linux", "s390x", "", "picoclaw_Linux_s390x.tar.gz"),
        ("Linux", "mips", "little", "picoclaw_Linux_mipsle.tar.gz"),
        ("Linux", "mips64", "big", "picoclaw_Linux_mips64.tar.gz"),
        ("Darwin", "arm64", "", "picoclaw_Darwin_arm64.tar.gz"),
        ("Darwin", "x86_64", "", "picoclaw_Darwin_x86_64.tar.gz"),
        ("FreeBSD", "amd64", "", "picoclaw_Freebsd_x86_64.tar.gz"),
        ("FreeBSD", "arm64", "", "picoclaw_Freebsd_arm64.tar.gz"),
        ("NetBSD", "amd64", "", "picoclaw_Netbsd_x86_64.tar.gz"),
    ],
)
def test_uname_leads_to_goreleasers_name(system: str, machine: str, byte_order: str, asset: str) -> None:
    assert Platform.from_uname(system, machine, byte_order).asset_names[0] == asset


@pytest.mark.parametrize(
    ("system", "machine", "byte_order"),
    [
        ("Linux", "i686", ""),
        ("Linux", "i386", ""),
        ("Linux", "armv5tel", ""),
        ("Linux", "aarch64_be", ""),
        ("Linux", "mips", "big"),
        ("Linux", "mips", ""),
        ("Linux", "mips64", "little"),
        ("SunOS", "x86_64", ""),
        ("", "", ""),
    ],
)
def test_a_machine_without_a_build_is_no_release_and_is_named(system: str, machine: str, byte_order: str) -> None:
    with pytest.raises(ReleaseError, match=f"no PicoClaw build for {system}") as caught:
        Platform.from_uname(system, machine, byte_order)
    assert caught.value.reason is Reason.NO_RELEASE
    assert not caught.value.retryable
    assert machine in caught.value.message
    assert "picoclaw-fleet deploy --file FILE HOST" in caught.value.next_step


@given(st.text(), st.text(), st.text())
def test_no_word_of_a_host_breaks_the_map(system: str, machine: str, byte_order: str) -> None:
    with pytest.raises(ReleaseError):
        Platform.from_uname(f"?{system}", machine, byte_order)


def test_no_name_is_shared_by_two_kinds_of_machine_except_armv6_builds_on_armv7() -> None:
    systems = ("Linux", "Darwin", "FreeBSD", "NetBSD")
    machines = ("x86_64", "arm64", "armv6", "armv7", "riscv64", "loong64", "s390x", "mipsle")
    platforms = [Platform.from_uname(system, machine) for system in systems for machine in machines]
    for one in platforms:
        for other in platforms:
            if one != other and {one.arch, other.arch} != {"armv6", "armv7"}:
                assert not set(one.asset_names) & set(other.asset_names), (one, other)


@given(version=st.text(max_size=120))
def test_a_version_is_a_plain_tag_or_it_is_refused(version: str) -> None:
    try:
        tags = tag_spellings(version)
    except UsageError:
        return
    for tag in tags:
        assert tag.isascii()
        assert tag[0] not in "./-~"
        assert not set(tag) & set("/\\ ?#%&\n")


def test_checksum_lines_are_matched_by_the_whole_name() -> None:
    text = f"{'a' * 64}  x.deb\n{'B' * 64} *x\n{'c' * 64}  x.sbom.json\nnonsense\n{'d' * 63}  x\n"
    assert digests_for("x", text) == {"b" * 64}
