"""One module per thing that is measured."""

from __future__ import annotations

from typing import Protocol

from bench.figures import Measurement
from bench.measurements import (
    dead_hosts,
    distance,
    fan_out,
    handshakes,
    output,
    run_contract,
    start,
    status,
    thousand,
    upload,
)


class Measure(Protocol):
    """What each module has."""

    async def __call__(self, rounds: int, *, quick: bool) -> Measurement:
        """Builds the labs that it needs, and measures in so many rounds; quick is small."""
        ...


ALL: dict[str, Measure] = {
    "fan_out": fan_out.measure,
    "run_contract": run_contract.measure,
    "handshakes": handshakes.measure,
    "dead_hosts": dead_hosts.measure,
    "status": status.measure,
    "output": output.measure,
    "upload": upload.measure,
    "thousand": thousand.measure,
    "start": start.measure,
    "distance": distance.measure,
}
