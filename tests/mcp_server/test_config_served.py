"""The fleet config as a running server sees it."""

from __future__ import annotations

import os
from pathlib import Path

from tests.embedded_fleet import EmbeddedFleet
from tests.mcp_server.caller import Caller, Era, stdio

from picoclaw_fleet.config.file import TEMPLATE


async def test_the_first_call_without_a_config_creates_the_template_and_says_what_to_edit(
    era: Era, tmp_path: Path
) -> None:
    home, log = tmp_path / "home", tmp_path / "stderr"
    config = home / ".openclaw/workspace/config/picoclaw-fleet.json"
    async with stdio({"HOME": str(home), "PATH": os.environ["PATH"]}, era, log) as client:
        said = await Caller(client).refusal("dispatch", task="hello")
    assert f"There was no fleet config, so the template was created at {config}." in said
    assert "Edit host, user and ssh_key in it, then call again." in said
    assert config.read_text() == TEMPLATE
    assert log.read_text() == ""


async def test_where_the_template_cannot_be_created_the_call_says_so(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "PICOCLAW_FLEET_CONFIG": "/proc/no/fleet.json"}
    async with stdio(environment, "auto", tmp_path / "stderr") as client:
        said = await Caller(client).refusal("fleet_status")
    assert "/proc/no/fleet.json: there is no fleet config, and the template can't be created" in said
    assert "--config or PICOCLAW_FLEET_CONFIG" in said


async def test_a_config_that_its_own_command_line_mistypes_is_told_and_not_created(tmp_path: Path) -> None:
    typo = tmp_path / "no" / "typo.json"
    client = stdio({"HOME": str(tmp_path)}, "auto", tmp_path / "stderr", "serve", "--config", str(typo))
    async with client as session:
        said = await Caller(session).refusal("fleet_status")
    assert f"{typo}: there is no such fleet config." in said
    assert not typo.parent.exists()


async def test_where_the_state_cannot_be_kept_the_call_says_so_and_the_server_stays(
    fleet: EmbeddedFleet, tmp_path: Path
) -> None:
    log = tmp_path / "stderr"
    async with stdio({**fleet.environment, "PICOCLAW_FLEET_STATE_DIR": "/proc/no"}, "auto", log) as client:
        said = await Caller(client).refusal("dispatch", task="x")
        again = await Caller(client).refusal("dispatch", task="x")
    assert "/proc/no" in said
    assert again == said
    assert log.read_text() == ""


async def test_an_edit_counts_from_the_next_call_on(fleet: EmbeddedFleet, call: Caller) -> None:
    assert [host["name"] for host in (await call("fleet_status")).data["hosts"]] == ["ada", "bob", "cyd"]
    await fleet.add("dee", tags=["new"])
    del fleet.entries[0]
    fleet.write_config()

    assert [host["name"] for host in (await call("fleet_status")).data["hosts"]] == ["bob", "cyd", "dee"]
    assert (await call("dispatch", task="x", host="tag:new")).data["host"] == "dee"
    assert "'ada' matches no host" in await call.refusal("dispatch", task="x", host="ada")


async def test_a_config_that_breaks_gives_errors_with_file_and_line_until_it_is_mended(
    fleet: EmbeddedFleet, call: Caller
) -> None:
    await call("fleet_status")
    good = fleet.config.read_text()

    fleet.config.write_text(good.replace('"bob",', '"bob"'))
    broken = await call.refusal("fleet_status")
    fleet.config.write_text(good.replace('"slots"', '"slot"'))
    unknown_key = await call.refusal("dispatch", task="x")
    fleet.config.write_text(good.replace('"bob"', '"ada"'))
    duplicate = await call.refusal("dispatch_many", tasks=["x"])
    fleet.config.unlink()
    gone = await call.refusal("fleet_status")

    line = next(number for number, text in enumerate(good.splitlines(), start=1) if '"bob"' in text)
    assert f"{fleet.config}:{line + 1}: broken JSON in column" in broken
    assert "hosts[0].slot" in unknown_key
    assert "'slots'" in unknown_key
    assert f"{fleet.config}:{line}: hosts[1].name: " in duplicate
    assert "the fleet config is gone" in gone
    fleet.config.write_text(good)
    assert (await call("dispatch", task="x")).data["state"] == "succeeded"


async def test_a_job_that_runs_ends_well_and_is_answered_although_the_config_breaks(
    fleet: EmbeddedFleet, call: Caller
) -> None:
    gate = fleet.gate("ada")
    fleet.set_knobs(exec=gate.command)
    job_id = (await call("dispatch", task="long", host="ada", wait_seconds=0)).data["job_id"]
    await gate.arrival()
    fleet.config.write_text("{")
    gate.open()
    assert (await call("job_result", job_id=job_id, wait_seconds=50)).data["answer"] == "done: long"
    assert "broken JSON" in await call.refusal("dispatch", task="another")
