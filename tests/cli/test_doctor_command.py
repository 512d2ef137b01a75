"""The command doctor: what it prints, and when it fails."""

from __future__ import annotations

from tests.cli.terminal import Shell
from tests.embedded_fleet import EmbeddedFleet

from picoclaw_fleet.doctor import Diagnosis


async def test_warnings_don_t_fail_it_and_each_has_its_fix(shell: Shell) -> None:
    done = await shell("doctor")
    assert done.code == 0
    lines = done.out.splitlines()
    warned = [number for number, line in enumerate(lines) if line.startswith("warning")]
    assert warned
    assert all(lines[number + 1].lstrip().startswith("-> ") for number in warned)


async def test_probing_finds_hosts_out_of_reach_and_fails(fleet: EmbeddedFleet, shell: Shell) -> None:
    await fleet.add("bare", picoclaw=b"")
    fleet.entries.append({**fleet.entry("down", port=1), "host_key": fleet.hosts["ada"].host_key})
    fleet.write_config()
    assert (await shell("doctor")).code == 0
    done = await shell("doctor", "--probe", "--json")
    assert done.code == 3
    diagnosis = Diagnosis.model_validate(done.data)
    assert not diagnosis.ok
    found = {finding.host: finding.level for finding in diagnosis.checks if finding.check == "hosts"}
    assert found == {"ada": "ok", "bob": "ok", "bare": "warning", "down": "error"}
