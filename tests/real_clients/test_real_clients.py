"""Clients that people use start this server and work with it; there is no account and no model behind them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.embedded_fleet import EmbeddedFleet
from tests.mcp_server.served import make_tokens, served
from tests.real_clients.client import RealClient

pytestmark = pytest.mark.timeout(300)

SKILL = Path(__file__).parents[2] / "skill/picoclaw-fleet"
TOOLS = {"fleet_status", "deploy", "dispatch", "dispatch_many", "job_result", "jobs", "job_cancel", "teardown"}
SECRETS = {"ANTHROPIC_API_KEY": "sk-ant-of-the-user-0123456789", "SSH_AUTH_SOCK": "/nowhere/agent"}


async def test_it_connects_and_offers_all_tools(told: RealClient) -> None:
    verdict = await told.check()
    assert verdict.connected, verdict.words
    assert await told.tools() == TOOLS


async def test_a_worker_s_answer_comes_back(told: RealClient) -> None:
    shown = await told.call("dispatch", task="say hello", host="bob")
    assert "succeeded on bob" in shown
    assert "done: say hello" in shown


async def test_the_fleet_is_shown(client: RealClient) -> None:
    await client.user.install(client.name)
    shown = await client.call("fleet_status")
    assert "2 of 2 hosts are ready" in shown


async def test_a_fleet_config_that_is_broken_is_told_by_the_tools(client: RealClient, fleet: EmbeddedFleet) -> None:
    await client.user.install(client.name)
    fleet.config.write_text('{"hosts": [')
    verdict = await client.check()
    assert verdict.connected, verdict.words
    shown = await client.call("fleet_status")
    assert f"{fleet.config}:1" in shown


async def test_a_command_that_is_gone_is_told(client: RealClient) -> None:
    await client.user.install(client.name)
    client.user.command.unlink()
    verdict = await client.check()
    assert not verdict.connected
    assert re.search("fail|disconnected|not found|no such file", verdict.words, flags=re.IGNORECASE)


async def test_it_hands_over_what_the_user_has_set(client: RealClient) -> None:
    await client.user.install(client.name, **SECRETS)
    client.user.starts()
    client.user.variables |= SECRETS
    verdict = await client.check()
    assert verdict.connected, verdict.words
    starts = client.user.starts()
    assert starts
    assert all(SECRETS.items() <= start.items() for start in starts)


async def test_what_the_user_has_set_no_more_does_not_keep_it_from_connecting(client: RealClient) -> None:
    await client.user.install(client.name, **SECRETS)
    client.user.starts()
    verdict = await client.check()
    assert verdict.connected, verdict.words
    for start in client.user.starts():
        # Left out, empty, or handed over as it stands in the client's configuration: the server has to bear all three.
        assert all(start.get(name, "") in ("", f"${{{name}}}") for name in SECRETS)


async def test_it_works_over_http_as_the_guide_says(client: RealClient, fleet: EmbeddedFleet) -> None:
    token = make_tokens(fleet.http, me="dispatch")["me"]
    fleet.write_config()
    client.server = "fleet"
    async with served(fleet.environment) as server:
        await client.user.follow_http_guide(client.command, server.url, token)
        verdict = await client.check()
        assert verdict.connected, verdict.words
        shown = await client.call("dispatch", task="say hello", host="bob")
    assert "done: say hello" in shown


async def test_it_learns_the_skill(client: RealClient) -> None:
    await client.learn(SKILL)
    assert SKILL.name in await client.skills()
