"""What all tests share."""

from __future__ import annotations

import pytest

# They want 1.5 GB of other people's programs; `make clients` names them.
collect_ignore = ["real_clients"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
