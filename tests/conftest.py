"""What all tests share."""

from __future__ import annotations

import gc
import signal

import pytest
from hypothesis import HealthCheck, settings

# The same examples every time, however slow the machine is. `--hypothesis-profile=random` (make fuzz) throws the dice.
settings.register_profile(
    "repeatable",
    derandomize=True,
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("random", settings.get_profile("repeatable"), derandomize=False, max_examples=1000)
settings.load_profile("repeatable")

# They want other people's programs: 1.5 GB of those that `make clients` names, and the binaries for `make picoclaw`.
collect_ignore = ["real_clients", "real_picoclaw"]

# Under `nohup`, and in the background of a script, what the tests start would inherit that these are ignored. A handler
# is not inherited.
for number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda number, frame: None)


def pytest_collection_finish() -> None:
    """What is there now stays: no test's garbage is looked for among all modules and tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
