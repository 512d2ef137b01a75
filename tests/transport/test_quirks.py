from __future__ import annotations

import pytest

from picoclaw_fleet.transport.quirks import one_command_at_a_time


@pytest.mark.parametrize(
    ("greeting", "careful"),
    [
        ("SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10", False),
        ("SSH-2.0-dropbear_2020.81", False),
        ("SSH-2.0-dropbear_2022.82", True),
        ("SSH-2.0-dropbear_2022.83", True),
        ("SSH-2.0-dropbear_2024.85", True),
        ("SSH-2.0-dropbear_2024.86", False),
        ("SSH-2.0-dropbear_2026.94", False),
        ("SSH-2.0-dropbear", True),
    ],
)
def test_the_dropbears_that_drop_overlapping_sessions_are_known(greeting: str, careful: bool) -> None:
    assert one_command_at_a_time(greeting) is careful
