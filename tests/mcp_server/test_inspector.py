"""The MCP Inspector's command line, a client that is not ours and checks more than most."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.embedded_fleet import EmbeddedFleet
from tests.mcp_server.foreign import MODULES
from tests.quick_start import quick_command

TOOL_ERROR = 5
ERAS = ("legacy", "modern")


class Inspector:
    """Calls the server as the Inspector does.

    Args:
        folder: For its config.
        fleet: Whose environment the server gets; the Inspector passes none of its own.
        node: What runs it.
    """

    def __init__(self, folder: Path, fleet: EmbeddedFleet, node: str) -> None:
        self._program = (node, str(MODULES / ".bin/mcp-inspector"))
        self._folder = folder
        self._config = folder / "mcp.json"
        server = {"command": quick_command(), "env": fleet.environment}
        self._config.write_text(json.dumps({"mcpServers": {"picoclaw-fleet": server}}))

    async def __call__(self, era: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        """Runs one method."""
        return await anyio.run_process(
            [
                *(*self._program, "--cli", "-q", "--format", "json", "--protocol-era", era),
                *("--config", str(self._config), "--server", "picoclaw-fleet", *arguments),
            ],
            env={"HOME": str(self._folder), "PATH": os.environ["PATH"], "MCP_INSPECTOR_SECRET_STORE": "memory"},
            check=False,
        )


@pytest.fixture
def inspector(tmp_path: Path, fleet: EmbeddedFleet, node: str) -> Inspector:
    return Inspector(tmp_path, fleet, node)


@pytest.mark.parametrize("era", ERAS)
async def test_the_schemas_pass_its_strict_check(inspector: Inspector, era: str) -> None:
    listed = await inspector(era, "--method", "tools/list", "--strict")
    assert (listed.returncode, listed.stderr) == (0, b"")
    names = [tool["name"] for tool in _result(listed)["tools"]]
    assert {"fleet_status", "dispatch", "dispatch_many", "job_result"} <= set(names)


async def test_it_gets_an_answer_from_a_worker(inspector: Inspector) -> None:
    arguments = ["--tool-arg", "task=say hello", "--tool-arg", "host=bob"]
    done = await inspector("modern", "--method", "tools/call", "--tool-name", "dispatch", *arguments)
    assert done.returncode == 0, done.stderr
    job = _result(done)["structuredContent"]
    assert (job["host"], job["state"], job["answer"]) == ("bob", "succeeded", "done: say hello")


async def test_it_sees_a_refusal_as_an_error_of_the_tool(inspector: Inspector) -> None:
    refused = await inspector("auto", "--method", "tools/call", "--tool-name", "dispatch", "--tool-arg", "task= ")
    assert refused.returncode == TOOL_ERROR
    assert json.loads(refused.stderr)["error"]["code"] == "tool_is_error"


def _result(done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    return json.loads(done.stdout)["result"]
