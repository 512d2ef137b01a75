"""PicoClaw itself, from its release to its removal, with the model's server of the tests behind it."""

from __future__ import annotations

import os

import anyio
import pytest
from tests.embedded_fleet import EmbeddedFleet
from tests.real_picoclaw.conftest import KEY, REPOSITORY
from tests.standin.mock_llm import MockLLM
from tests.worker.site import is_alive

from picoclaw_fleet.errors import Reason, State
from picoclaw_fleet.fleet import Fleet
from picoclaw_fleet.results import JobResult
from picoclaw_fleet.rollout import Outcome

pytestmark = pytest.mark.timeout(120)

TASK = "/etc/hosts, is it\nin order? 🦞"


async def test_it_is_deployed_works_is_stopped_fails_and_is_taken_away(
    fleet: Fleet, embedded: EmbeddedFleet, version: str, llm: MockLLM, pids: int
) -> None:
    home = embedded.hosts["bare"].home
    (host,) = (await fleet.deploy()).hosts
    assert (host.outcome, host.version, host.source) == (Outcome.INSTALLED, version, REPOSITORY), host
    assert (host.picoclaw, host.reason) == ("ready", None), host

    done = await fleet.dispatch(TASK)
    assert (done.state, done.reason, done.answer) == (State.SUCCEEDED, None, llm.reply), done
    assert llm.requests[-1].messages == [{"role": "user", "content": f"Task: {TASK}"}]
    assert llm.requests[-1].authorization == f"Bearer {KEY}"

    llm.command = 'setsid sleep 600 >out 2>&1 & echo $! >"$PIDS"'
    done = await fleet.dispatch("leave something behind")
    assert (done.state, done.reason, done.answer) == (State.SUCCEEDED, None, llm.reply), done
    assert not is_alive(int(os.read(pids, 100)))

    # A child in a session of its own, and the command that has started it.
    llm.command = 'setsid sleep 600 & echo "$! $$" >"$PIDS"; exec sleep 600'
    slow = await fleet.dispatch("take your time", timeout_seconds=8, wait_seconds=0)
    with anyio.fail_after(30):
        await anyio.wait_readable(pids)
    children = [int(pid) for pid in os.read(pids, 100).split()]
    assert [is_alive(child) for child in children] == [True, True]
    slow = await fleet.result(slow.job_id, wait_seconds=30)
    assert isinstance(slow, JobResult)
    assert (slow.state, slow.reason) == (State.TIMED_OUT, Reason.TIMEOUT), slow
    assert [is_alive(child) for child in children] == [False, False]

    llm.command, llm.status = "", 401
    refused = await fleet.dispatch("and with a key that is none?")
    assert (refused.state, refused.reason, refused.exit_code) == (State.FAILED, Reason.EXIT_CODE, 1), refused
    assert "Status: 401" in (refused.output or "")

    (host,) = (await fleet.teardown(["bare"], purge=True)).hosts
    assert (host.outcome, host.picoclaw, host.kept) == (Outcome.REMOVED, "missing", None), host
    assert list(home.iterdir()) == []
