"""Servers that need care."""

from __future__ import annotations

import re

_DROPBEAR = re.compile(r"dropbear(?:_(\d+)\.(\d+))?", re.IGNORECASE)
_BROKEN_SINCE = (2022, 82)
_MENDED_IN = (2024, 86)


def one_command_at_a_time(server_version: str) -> bool:
    """True for a server on whose connections commands must not overlap.

    Dropbear 2022.82 to 2024.85 closes a channel that is open but has no command yet when the command of another channel
    on the same connection ends, and may run its command all the same (mended in Dropbear's commit 71521d1b). Debian 12
    has one of these, and so have many boards. A Dropbear that hides its version is taken for one of them.

    Args:
        server_version: The server's greeting, such as SSH-2.0-dropbear_2022.83.
    """
    found = _DROPBEAR.search(server_version)
    if found is None:
        return False
    if found[1] is None:
        return True
    return _BROKEN_SINCE <= (int(found[1]), int(found[2])) < _MENDED_IN
