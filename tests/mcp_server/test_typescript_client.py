"""The TypeScript SDK's client gets the answer of a job that takes longer than its limit for a request.

PICOCLAW_FLEET_REAL_LIMIT=1   with the SDK's own limit of 60 s and nothing set at all; else scaled down to a fifth
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests import standin
from tests.embedded_fleet import COMMAND, EmbeddedFleet
from tests.mcp_server.foreign import MODULES

SCRIPT = Path(__file__).with_name("patient_client.cjs")
LIMIT_MS = 12_000
# About a fifth of what the tools wait by default.
WAIT_SECONDS = 8


async def _run(node: str, fleet: EmbeddedFleet, *arguments: str) -> tuple[list[dict[str, Any]], str]:
    """What the client was told, reply by reply, and what it complained of."""
    command = [node, str(SCRIPT), str(MODULES), COMMAND, *arguments]
    done: subprocess.CompletedProcess[bytes] = await anyio.run_process(command, env=fleet.environment, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr.decode()


async def test_a_job_longer_than_the_client_s_limit_is_answered(node: str, fleet: EmbeddedFleet) -> None:
    fleet.set_knobs(slow=LIMIT_MS / 1000 + 2, log="runs.log")
    replies, errors = await _run(node, fleet, "slow", str(WAIT_SECONDS), str(LIMIT_MS))
    assert errors == ""
    assert [reply["state"] for reply in replies[:-1]] == ["running"] * (len(replies) - 1)
    assert len(replies) > 1
    assert replies[-1]["answer"] == "done: slow"
    assert sum(len(standin.runs(host.home / "runs.log")) for host in fleet.hosts.values()) == 1


async def test_a_client_that_gives_up_waiting_has_lost_nothing(node: str, fleet: EmbeddedFleet) -> None:
    fleet.set_knobs(slow=3)
    replies, errors = await _run(node, fleet, "slow", "20", "1500")
    assert replies == []
    assert "timed out" in errors
    again, errors = await _run(node, fleet, "another", "default")
    assert errors == ""
    assert again[-1]["answer"] == "done: another"


@pytest.mark.skipif("PICOCLAW_FLEET_REAL_LIMIT" not in os.environ, reason="PICOCLAW_FLEET_REAL_LIMIT is not set")
@pytest.mark.timeout(150)
async def test_the_sdk_s_own_limit_is_enough_without_any_setting(node: str, fleet: EmbeddedFleet) -> None:
    fleet.set_knobs(slow=75)
    replies, errors = await _run(node, fleet, "slow", "default")
    assert errors == ""
    assert [reply["state"] for reply in replies] == ["running", "succeeded"]
    assert replies[-1]["answer"] == "done: slow"
