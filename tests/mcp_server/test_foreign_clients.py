"""Clients that are not ours: the TypeScript SDKs, mcporter, the Inspector over HTTP, and the conformance suite."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import anyio
import pytest
from tests.embedded_fleet import EmbeddedFleet
from tests.mcp_server.foreign import MODULES
from tests.mcp_server.served import make_tokens, served
from tests.quick_start import quick_command

HERE = Path(__file__).parent


@pytest.mark.parametrize("place", ["http", "stdio"])
@pytest.mark.parametrize("mode", ["v1", "auto", "legacy"])
async def test_the_typescript_clients_get_an_answer(
    node: str, fleet: EmbeddedFleet, tmp_path: Path, mode: str, place: str
) -> None:
    token = make_tokens(fleet.http, ts="dispatch")["ts"]
    fleet.write_config()
    script = (node, str(HERE / "sdk-client.mjs"), str(MODULES), mode)
    if place == "stdio":
        done = await _run([*script, "stdio", quick_command()], tmp_path, **fleet.environment)
    else:
        async with served(fleet.environment) as server:
            done = await _run([*script, server.url, token], tmp_path)
    assert done.returncode == 0, done.stderr.decode()
    said = json.loads(done.stdout)
    assert said["answer"] == "done: say hello"
    assert {"fleet_status", "dispatch"} <= set(said["tools"])


async def test_mcporter_gets_an_answer_over_http_and_stdio(node: str, fleet: EmbeddedFleet, tmp_path: Path) -> None:
    mcporter = (node, str(MODULES / "mcporter/dist/cli.js"), "call", "--name", "fleet")
    async with served(fleet.environment) as server:
        http = await _run([*mcporter, "--http-url", server.url, "--allow-http", "dispatch", "task=hi"], tmp_path)
        refused = await _run([*mcporter, "--http-url", server.url, "--allow-http", "job_result"], tmp_path)
    stdio = await _run([*mcporter, "--stdio", quick_command(), "dispatch", "task=hi"], tmp_path, **fleet.environment)
    for done in (http, stdio):
        assert (done.returncode, json.loads(done.stdout)["answer"]) == (0, "done: hi"), done.stderr
    assert refused.returncode == 1
    assert b"Give either job_id or batch_id." in refused.stdout


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_the_inspector_is_content_over_http(node: str, fleet: EmbeddedFleet, tmp_path: Path, era: str) -> None:
    token = make_tokens(fleet.http, inspector="read")["inspector"]
    fleet.write_config()
    async with served(fleet.environment) as server:
        inspector = (node, str(MODULES / ".bin/mcp-inspector"), "--cli", "-q", "--format", "json", server.url)
        options = ("--transport", "http", "--protocol-era", era, "--method")
        header = ("--header", f"Authorization: Bearer {token}")
        listed = await _run([*inspector, *options, "tools/list", "--strict", *header], tmp_path)
        stranger = await _run([*inspector, *options, "tools/list"], tmp_path)
        load = ("tools/call", "--tool-name", "jobs", "--load", "--load-requests", "100", "--load-concurrency", "5")
        loaded = await _run([*inspector, *options, *load, *header], tmp_path)
    assert (listed.returncode, listed.stderr) == (0, b"")
    assert stranger.returncode != 0
    assert loaded.returncode == 0, loaded.stderr
    assert b'"ok":100' in loaded.stdout.replace(b" ", b"")


async def test_the_conformance_suite_finds_nothing_but_what_the_baseline_names(
    node: str, fleet: EmbeddedFleet, tmp_path: Path
) -> None:
    suite = (node, str(MODULES / "@modelcontextprotocol/conformance/dist/index.js"), "server")
    baseline = ("--expected-failures", str(HERE / "conformance-baseline.yml"))
    async with served(fleet.environment) as server:
        done = await _run([*suite, "--url", server.url, *baseline], tmp_path)
    assert done.returncode == 0, done.stdout.decode()[-3000:]


async def _run(command: list[str], home: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    usual = {"HOME": str(home), "PATH": os.environ["PATH"], "MCP_INSPECTOR_SECRET_STORE": "memory", "NO_COLOR": "1"}
    with anyio.fail_after(50):
        return await anyio.run_process(command, env={**usual, **environment}, cwd=home, check=False)
