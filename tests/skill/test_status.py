"""fleet-status.sh: a row per host, whatever the host is like."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from tests.servers import ClientKey, OpenSshServer
from tests.skill.desk import GONE, Desk
from tests.skill.worker import Worker
from tests.standin import install

from picoclaw_fleet.config.file import TEMPLATE


async def test_each_host_has_its_row_in_the_order_of_the_config(tmp_path: Path, key: ClientKey, desk: Desk) -> None:
    async with OpenSshServer(tmp_path / "sshd", authorized_key=key.public, addresses=3) as server:
        ready, unready, bare = server.addresses
        install(server.home(ready))
        install(server.home(unready), configured=False)
        desk.add(server.host("nowhere", ssh_key=key.path), **{**GONE, "name": "nowhere"})
        for name, address in (("ready", ready), ("unready", unready), ("bare", bare)):
            desk.add(server.host(name, ssh_key=key.path, address=address), slots=2)

        done = await desk.run("fleet-status.sh", "--json")
        table = await desk.run("fleet-status.sh")

    said: dict[str, Any] = json.loads(done.out)
    rows: list[dict[str, Any]] = said["hosts"]
    assert said["summary"] == "1 of 4 hosts are ready, 1 out of reach."
    assert [(row["name"], row["picoclaw"], row.get("reason")) for row in rows] == [
        ("nowhere", "unknown", "unreachable"),
        ("ready", "ready", None),
        ("unready", "installed", "not_ready"),
        ("bare", "missing", "not_installed"),
    ]
    assert (rows[1]["version"], rows[1]["running"], rows[1]["free_slots"]) == ("0.2.9", 0, 2)
    assert rows[1]["memory_free_mb"] > 0 and rows[1]["disk_free_mb"] > 0 and rows[1]["load"] >= 0
    lines = table.out.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [[row["name"], row["picoclaw"]] for row in rows]
    assert [line.split()[5] for line in lines[1:]] == ["-", "0/2", "0/2", "0/2"]
    assert (done.status, table.status, desk.leftovers) == (0, 0, [])


async def test_every_kind_of_host_can_be_looked_at(desk: Desk, any_worker: Worker) -> None:
    any_worker.with_picoclaw()
    done = await desk.run("fleet-status.sh", "--json")
    assert json.loads(done.out)["hosts"][0]["picoclaw"] == "ready", done


async def test_mute_hosts_cost_one_connect_timeout_and_not_one_each(desk: Desk, worker: Worker) -> None:
    """Thirty of them in a row would take a minute and a half; the desk gives a script forty seconds."""
    worker.with_picoclaw()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as mute:
        for number in range(30):
            desk.add(worker.host, name=f"mute{number}", host="127.0.0.1", port=mute.getsockname()[1], connect_timeout=3)
        done = await desk.run("fleet-status.sh", "--json")

    first, *others = json.loads(done.out)["hosts"]
    assert first["picoclaw"] == "ready"
    assert {row["reason"] for row in others} == {"connect_timeout"}


async def test_a_missing_config_is_made_from_the_template(desk: Desk) -> None:
    done = await desk.run("fleet-status.sh")
    assert done.status == 2
    assert desk.config.read_text() == TEMPLATE
    assert desk.config.stat().st_mode & 0o777 == 0o600
    assert "a template is there now" in done.err


async def test_a_config_with_a_mistake_is_refused_with_its_place(desk: Desk) -> None:
    desk.config.write_text('{"hosts": [{"name": "one", "host": "127.0.0.1", "prot": 22}]}')
    misspelt = await desk.run("fleet-status.sh")
    desk.config.write_text('{"hosts": [\n}')
    broken = await desk.run("fleet-status.sh")
    assert (misspelt.status, broken.status) == (2, 2)
    assert "hosts[0].prot: there is no such key; port is meant?" in misspelt.err
    assert f"{desk.config}:2: " in broken.err


async def test_one_host_with_settings_that_ssh_cannot_use_does_not_hide_the_others(desk: Desk, worker: Worker) -> None:
    worker.with_picoclaw()
    desk.add(worker.host, name="pinned", host_key="SHA256:" + "A" * 43)
    done = await desk.run("fleet-status.sh", "--json")
    rows = json.loads(done.out)["hosts"]
    assert [row["picoclaw"] for row in rows] == ["ready", "unknown"]
    assert "fingerprint" in rows[1]["message"]


async def test_what_a_worker_says_that_is_not_ready_is_without_colours_and_keys(desk: Desk, worker: Worker) -> None:
    worker.with_picoclaw()
    picoclaw = worker.home / ".local/bin/picoclaw"
    picoclaw.write_text(f"#!/bin/sh\nprintf '\\033[31m%s\\033[0m is wrong\\n' {'sk-' + 'a1B2' * 8}; exit 1\n")

    done = await desk.run("fleet-status.sh", "--json")

    (row,) = json.loads(done.out)["hosts"]
    assert (row["reason"], row["message"].strip()) == (
        "not_ready",
        "PicoClaw is there, but not ready: [secret] is wrong",
    )
