"""Deploy and teardown as tools: what a job misses is put there first, and nothing is taken away unasked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.types import ElicitRequestParams, ElicitResult
from tests import standin
from tests.embedded_fleet import EmbeddedFleet
from tests.github import GitHub, picoclaw_files
from tests.mcp_server.caller import Caller, Era
from tests.quick_start import quick_command

REPOSITORY = "EricGrill/picoclaw"
KEY = "sk-ant-deploying-0123456789"
AGREED = {"confirm": True}


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[EmbeddedFleet]:
    """Two hosts without PicoClaw, and a release of it."""
    with GitHub() as github:
        github.publish(REPOSITORY, "v0.2.9", picoclaw_files(standin.executable("0.2.9")))
        async with EmbeddedFleet(tmp_path / "fleet") as fleet:
            fleet.defaults = {"github_api": github.api}
            for name in ("ada", "bob"):
                await fleet.add(name, picoclaw=b"")
            fleet.write_config()
            yield fleet


class User:
    """Somebody who is asked.

    Args:
        agrees: What he says.
        content: What his client sends along when he agrees.
    """

    def __init__(self, *, agrees: bool, content: dict[str, Any] | None = AGREED) -> None:
        self.questions: list[str] = []
        self._agrees = agrees
        self._content = content

    async def answer(self, context: object, params: ElicitRequestParams) -> ElicitResult:
        self.questions.append(params.message)
        if self._agrees:
            return ElicitResult(action="accept", content=self._content)
        return ElicitResult(action="decline")


def client(fleet: EmbeddedFleet, era: Era, user: User | None = None) -> Client:
    environment = {**fleet.environment, "ANTHROPIC_API_KEY": KEY}
    transport = stdio_client(StdioServerParameters(command=quick_command(), env=environment))
    return Client(transport, mode=era, elicitation_callback=user.answer if user else None)


async def test_a_job_gets_a_worker_where_there_was_none(bare: EmbeddedFleet, era: Era) -> None:
    async with client(bare, era) as connected:
        call = Caller(connected)
        done = await call("dispatch", task="hello", host="ada", wait_seconds=50)
        left = await call("dispatch", task="hello", host="bob", deploy_missing=False)
        rest = await call("deploy", wait_seconds=50)
        again = await call("deploy", hosts="all", wait_seconds=50)
    assert (done.data["state"], done.data["answer"]) == ("succeeded", "done: hello")
    assert (left.data["state"], left.data["reason"]) == ("failed", "not_installed")
    assert [(host["name"], host["outcome"], host["source"]) for host in rest.data["hosts"]] == [
        ("bob", "installed", REPOSITORY)
    ]
    assert {host["outcome"] for host in again.data["hosts"]} == {"unchanged"}
    assert KEY not in done.text + rest.text + again.text


async def test_nothing_is_taken_away_unasked(bare: EmbeddedFleet, era: Era) -> None:
    user = User(agrees=False)
    async with client(bare, era) as connected:
        call = Caller(connected)
        await call("deploy", hosts="ada", wait_seconds=50)
        unasked = await call.refusal("teardown", hosts=["ada"])
    async with client(bare, era, user) as connected:
        declined = await Caller(connected).refusal("teardown", hosts=["ada"])
    assert "confirm=true" in unasked
    assert "did not agree" in declined
    assert len(user.questions) == 1 and "ada" in user.questions[0]
    assert (bare.hosts["ada"].home / ".local/bin/picoclaw").exists()


@pytest.mark.parametrize("content", [None, {}, {"confirm": "perhaps"}])
async def test_an_answer_that_can_not_be_read_is_no_agreement_and_told_in_words_of_ours(
    fleet: EmbeddedFleet, era: Era, content: dict[str, Any] | None
) -> None:
    user = User(agrees=True, content=content)
    async with client(fleet, era, user) as connected:
        said = await Caller(connected).refusal("teardown", hosts=["ada"])
    assert len(user.questions) == 1
    assert said == (
        "teardown was not called: the user was asked, and the answer could not be read. "
        "If he wants that, call it again with confirm=true."
    )


async def test_the_user_is_shown_which_hosts_the_selectors_pick_and_not_asked_where_they_pick_none(
    bare: EmbeddedFleet, era: Era
) -> None:
    user = User(agrees=False)
    async with client(bare, era, user) as connected:
        call = Caller(connected)
        await call.refusal("teardown", hosts=["all", "!nobody"])
        await call.refusal("teardown", hosts=["?da, b*"])
    async with client(bare, era) as connected:
        unasked = await Caller(connected).refusal("teardown", hosts=["all"])
    assert user.questions == ["Remove PicoClaw, its settings and the API key from ada, bob?"]
    assert "from ada, bob, and the user has not been asked" in unasked


async def test_the_user_is_asked_about_a_purge_as_one(fleet: EmbeddedFleet, era: Era) -> None:
    user = User(agrees=False)
    async with client(fleet, era, user) as connected:
        await Caller(connected).refusal("teardown", hosts=["ada"], purge=True)
    async with client(fleet, era) as connected:
        unasked = await Caller(connected).refusal("teardown", hosts=["ada"], purge=True)
    (asked,) = user.questions
    assert asked == "Remove PicoClaw, its settings and the API key, and all that PicoClaw left behind, from ada?"
    assert "it takes PicoClaw, and all that PicoClaw left behind, away from ada" in unasked


async def test_it_is_taken_away_when_the_user_agrees_or_has_agreed(bare: EmbeddedFleet, era: Era) -> None:
    user = User(agrees=True)
    async with client(bare, era, user) as connected:
        call = Caller(connected)
        await call("deploy", wait_seconds=50)
        asked = await call("teardown", hosts=["ada"], wait_seconds=50)
        told = await call("teardown", hosts=["bob"], confirm=True, wait_seconds=50)
    assert len(user.questions) == 1
    assert [host["outcome"] for host in asked.data["hosts"] + told.data["hosts"]] == ["removed", "removed"]
    for name in ("ada", "bob"):
        assert not (bare.hosts[name].home / ".local/bin/picoclaw").is_symlink()
