"""What the doctor finds, and the fix that it names."""

from __future__ import annotations

import json
import os
import platform
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncssh
import pytest
from tests.faults.hosts import Disk

from picoclaw_fleet.clients import client_named, install, launch_of
from picoclaw_fleet.config.file import TEMPLATE
from picoclaw_fleet.doctor import Diagnosis, Finding, Level, examine
from picoclaw_fleet.jobs.ledger import Ledger


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with nothing wrong in it: a config, a key, a known host."""
    for variable in ("SSH_AUTH_SOCK", "XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR", "CODEX_HOME", "OPENCLAW_CONFIG_PATH"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PICOCLAW_FLEET_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-secret-0123456789")
    key = asyncssh.generate_private_key("ssh-ed25519")  # pyright: ignore[reportUnknownMemberType]
    (tmp_path / "key").write_bytes(key.export_private_key())
    (tmp_path / "key").chmod(0o600)
    write_config(tmp_path, host_key=" ".join(key.export_public_key().decode().split()[:2]))
    return tmp_path


def write_config(home: Path, **keys: object) -> None:
    host = {"name": "one", "host": "192.0.2.1", "ssh_key": str(home / "key"), **keys}
    (home / "fleet.json").write_text(json.dumps({"hosts": [host]}))
    (home / "fleet.json").chmod(0o600)


async def look(home: Path) -> Diagnosis:
    return await examine(home / "fleet.json", environ=os.environ)


async def only_problem(home: Path) -> Finding:
    """The one thing that is wrong; whatever it is, its fix is named."""
    diagnosis = await look(home)
    (problem,) = [finding for finding in diagnosis.checks if finding.level is not Level.OK]
    assert problem.next_step
    assert diagnosis.ok is (problem.level is not Level.ERROR)
    return problem


async def test_nothing_is_wrong_where_nothing_is_wrong(home: Path) -> None:
    diagnosis = await look(home)
    assert diagnosis.summary == "All is well."
    assert {finding.check for finding in diagnosis.checks} >= {"versions", "environment", "config", "keys", "ledger"}
    assert "sk-ant" not in diagnosis.model_dump_json()
    assert not (home / "state").exists(), "looking must not change anything"


async def test_no_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(home / "gone"))
    problem = await only_problem(home)
    assert (problem.level, problem.check) == (Level.ERROR, "environment")


async def test_no_home_at_all_and_no_path(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PATH")
    path = await only_problem(home)
    assert (path.level, path.check, path.next_step) == (Level.WARNING, "environment", "Set PATH.")
    checks = (await examine(home / "fleet.json", environ={**os.environ, "HOME": ""})).checks
    assert "HOME is not set, so no key, known_hosts or config is found." in [finding.message for finding in checks]


async def test_no_config(home: Path) -> None:
    (home / "fleet.json").unlink()
    problem = await only_problem(home)
    assert (problem.level, problem.check) == (Level.ERROR, "config")
    assert "picoclaw-fleet init" in (problem.next_step or "")


async def test_a_config_with_a_mistake(home: Path) -> None:
    (home / "fleet.json").write_text('{\n  "hosts": [],\n  "defalts": {}\n}')
    diagnosis = await look(home)
    (problem,) = [finding for finding in diagnosis.checks if finding.level is Level.ERROR]
    assert f"{home / 'fleet.json'}:3" in problem.message
    assert "'defaults'" in problem.message


async def test_the_untouched_template(home: Path) -> None:
    (home / "fleet.json").write_text(TEMPLATE)
    problem = await only_problem(home)
    assert (problem.level, problem.check) == (Level.WARNING, "config")
    assert "picoclaw-fleet add" in (problem.next_step or "")


async def test_a_jump_host_that_is_called_nearly_like_one_of_the_fleet(home: Path) -> None:
    text = (home / "fleet.json").read_text()

    def write_jump(jump: str) -> None:
        (first,) = json.loads(text)["hosts"]
        inner = {**first, "name": "inner", "jump": jump}
        (home / "fleet.json").write_text(json.dumps({"hosts": [{**first, "name": "gate"}, inner]}))

    write_jump("gaet")
    problem = await only_problem(home)
    assert (problem.level, problem.check, problem.host) == (Level.INFO, "config", "inner")
    assert "gaet" in problem.message
    assert "Did you mean gate?" in str(problem.next_step)
    # What is a place for sure, or not like any name, is left alone.
    (home / ".ssh").mkdir()
    (home / ".ssh/config").write_text("Host gate2\n  HostName 192.0.2.9\n")
    for jump in ("gate", "gate2", "me@gaet", "gaet:2222", "192.0.2.7", "bastion.lan", "none"):
        write_jump(jump)
        assert all(finding.level is Level.OK for finding in (await look(home)).checks), jump


async def test_a_config_that_others_may_change(home: Path) -> None:
    (home / "fleet.json").chmod(0o666)
    problem = await only_problem(home)
    assert (problem.level, problem.next_step) == (Level.ERROR, f"Run: chmod 600 {home / 'fleet.json'}")


async def test_what_mends_a_file_can_be_typed_whatever_the_file_is_called(home: Path) -> None:
    key, config = home / "my key", home / "my fleet.json"
    (home / "key").rename(key)
    write_config(home, ssh_key=str(key))
    (home / "fleet.json").rename(config)
    for file in (key, config):
        file.chmod(0o666)
    found = [finding for finding in (await examine(config, environ=os.environ)).checks if "others" in finding.message]
    assert [finding.next_step for finding in found] == [f"Run: chmod 600 '{config}'", f"Run: chmod 600 '{key}'"]


async def test_a_key_that_others_may_read(home: Path) -> None:
    (home / "key").chmod(0o644)
    problem = await only_problem(home)
    assert (problem.level, problem.host, problem.next_step) == (
        Level.WARNING,
        "one",
        f"Run: chmod 600 {home / 'key'}",
    )


async def test_a_key_that_is_missing(home: Path) -> None:
    (home / "key").unlink()
    problem = await only_problem(home)
    assert (problem.level, problem.check, problem.host) == (Level.ERROR, "keys", "one")
    assert str(home / "key") in problem.message


async def test_a_host_key_that_is_not_known(home: Path) -> None:
    write_config(home)
    problem = await only_problem(home)
    assert (problem.level, problem.check) == (Level.WARNING, "host_keys")
    assert f"picoclaw-fleet trust one --config {home / 'fleet.json'}" in (problem.next_step or "")


async def test_an_api_key_that_is_not_set(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    problem = await only_problem(home)
    assert (problem.level, problem.check) == (Level.WARNING, "variables")
    assert "ANTHROPIC_API_KEY" in problem.message


async def test_a_passphrase_that_is_not_set(home: Path) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")  # pyright: ignore[reportUnknownMemberType]
    (home / "key").write_bytes(key.export_private_key(passphrase="open sesame"))
    write_config(home, key_passphrase_env="MY_PASSPHRASE")
    errors = [finding for finding in (await look(home)).checks if finding.level is Level.ERROR]
    assert {finding.check for finding in errors} == {"variables", "keys"}
    assert all("MY_PASSPHRASE" in finding.message for finding in errors)


async def test_an_agent_that_is_needed_and_missing_or_dead(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.loads((home / "fleet.json").read_text())
    del text["hosts"][0]["ssh_key"]
    (home / "fleet.json").write_text(json.dumps(text))
    missing = await only_problem(home)
    assert missing.check == "agent"
    assert "clients install" in (missing.next_step or "")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(home / "dead"))
    dead = await only_problem(home)
    assert str(home / "dead") in dead.message


@pytest.fixture(params=[b"\0\0\0\5\x0c\0\0\0\3"])
def agent(home: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """An agent that holds three keys, or answers something else."""
    path = str(home / "agent")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(5) == b"\0\0\0\1\x0b"
                connection.sendall(request.param)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield path
        thread.join(5)


async def test_an_agent_tells_how_many_keys_it_holds(home: Path, agent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", agent)
    checks = (await look(home)).checks
    assert [finding.message for finding in checks if finding.check == "agent"] == [
        f"The ssh-agent at {agent} holds 3 keys"
    ]


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        (b"\0\0\0\5\x0c\0\0\0\0", "holds no keys"),
        (b"\0\0\0\1\5", "does not speak the agent's protocol, or is locked"),
    ],
    indirect=["agent"],
)
async def test_an_agent_that_is_of_no_use_where_it_is_needed(
    home: Path, agent: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.loads((home / "fleet.json").read_text())
    del text["hosts"][0]["ssh_key"]
    (home / "fleet.json").write_text(json.dumps(text))
    monkeypatch.setenv("SSH_AUTH_SOCK", agent)
    problem = await only_problem(home)
    assert (problem.level, problem.check) == (Level.WARNING, "agent")
    assert said in problem.message


async def test_a_damaged_ledger(home: Path) -> None:
    ledger = home / "state" / f"ledger-{platform.node()}.sqlite"
    ledger.parent.mkdir()
    ledger.write_bytes(b"this is no database, however long one looks at it")
    problem = await only_problem(home)
    assert (problem.level, problem.check) == (Level.ERROR, "ledger")
    assert f"The ledger {ledger} is damaged" in problem.message
    # Who wants to contact the hosts needs it, and is not told of it once more.
    probed = await examine(home / "fleet.json", probe=True, environ=os.environ)
    assert [finding for finding in probed.checks if finding.level is not Level.OK] == [problem]


async def test_a_ledger_on_a_full_disk_is_not_taken_for_a_damaged_one(home: Path) -> None:
    with Disk(home / "state", "1m") as disk:
        if not disk.is_mounted:
            pytest.skip("a small disk can't be mounted here")
        file = disk.folder / "ledger-here.sqlite"
        ledger = Ledger(file)
        await ledger.open()
        await ledger.aclose()
        disk.fill()
        (problem,) = [finding for finding in (await look(home)).checks if finding.level is Level.ERROR]
        assert f"The ledger {file} can't be read" in problem.message
        assert "Free some space" in (problem.next_step or "")
        assert "away" not in (problem.next_step or "")
        disk.relieve()
        assert any(finding.message.startswith(f"{file} has 0 jobs") for finding in (await look(home)).checks)


async def test_a_state_folder_that_is_a_file(home: Path) -> None:
    (home / "state").write_text("")
    problem = await only_problem(home)
    assert (problem.level, problem.check) == (Level.ERROR, "ledger")
    assert "PICOCLAW_FLEET_STATE_DIR" in (problem.next_step or "")


TOO_LONG = "x" * 300
"""The name of a file that can't even be looked for, whoever asks."""


async def test_files_that_can_not_be_looked_at(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = (home / "fleet.json").read_text()
    config = (await examine(home / TOO_LONG)).checks
    assert [one.check for one in config if one.level is Level.ERROR] == ["config"]
    write_config(home, ssh_key=str(home / TOO_LONG))
    key = await only_problem(home)
    assert (key.level, key.check, key.host) == (Level.ERROR, "keys", "one")
    assert "can't be read: File name too long" in key.message
    (home / "fleet.json").write_text(good)
    monkeypatch.setenv("PICOCLAW_FLEET_STATE_DIR", str(home / TOO_LONG))
    state = await only_problem(home)
    assert (state.level, state.check) == (Level.ERROR, "ledger")
    assert "PICOCLAW_FLEET_STATE_DIR" in (state.next_step or "")


async def test_a_state_folder_of_somebody_who_is_not_known(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PICOCLAW_FLEET_STATE_DIR", "~nobody-here/state")
    problem = await only_problem(home)
    assert (problem.level, problem.check) == (Level.ERROR, "ledger")
    assert "'~nobody-here/state'" in problem.message


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"url": "http://127.0.0.1:8000/mcp"}, None),
        ({"command": "/bin/sh", "env": None}, None),
        ({"command": "/bin/sh", "env": ["SSH_AUTH_SOCK=x"]}, None),
        ({"command": None}, "can't start 'None'"),
        (
            {"command": "/bin/sh", "env": {"PICOCLAW_FLEET_CONFIG": "~nobody-here/fleet.json"}},
            "~nobody-here/fleet.json",
        ),
        ({"command": "/bin/sh", "env": {"SSH_AUTH_SOCK": TOO_LONG}}, "the ssh-agent xxx"),
    ],
)
async def test_whatever_a_client_s_file_says_of_us_can_be_examined(
    home: Path, entry: dict[str, object], said: str | None
) -> None:
    file = client_named("cursor").file
    file.parent.mkdir()
    file.write_text(json.dumps({"mcpServers": {"picoclaw-fleet": entry}}))
    if said is None:
        assert (await look(home)).summary == "All is well."
    else:
        problem = await only_problem(home)
        assert (problem.level, problem.check) == (Level.WARNING, "clients")
        assert said in problem.message


async def test_a_client_s_file_that_is_broken(home: Path) -> None:
    file = client_named("cursor").file
    file.parent.mkdir()
    file.write_text("{ broken")
    problem = await only_problem(home)
    assert (problem.level, problem.check) == (Level.WARNING, "clients")
    assert f"{file}:1" in problem.message


async def test_a_client_whose_command_is_gone(home: Path) -> None:
    client = client_named("cursor")
    script = home / "bin" / "picoclaw-fleet"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    install(client, client.file, launch_of(str(home / "fleet.json"), argv=[str(script)]))
    assert (await look(home)).summary == "All is well."
    script.unlink()
    problem = await only_problem(home)
    assert (problem.level, problem.check) == (Level.WARNING, "clients")
    assert problem.next_step == "Run: picoclaw-fleet clients install cursor"
