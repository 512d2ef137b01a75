"""Installing into the clients' files: a sample of each, as its users have it."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from picoclaw_fleet.clients import CLIENTS, Launch, client_named, install, installed_entry, launch_of, snippet
from picoclaw_fleet.errors import UsageError

SAMPLES = Path(__file__).parent / "samples"
LAUNCH = Launch(
    command="/opt/bin/picoclaw-fleet",
    settings={"PICOCLAW_FLEET_CONFIG": "/srv/fleet.json"},
    agent="/run/user/1000/agent",
    secrets=("ANTHROPIC_API_KEY",),
)
ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "claude-code": {"type": "stdio", "env": {"PICOCLAW_FLEET_CONFIG": "/srv/fleet.json"}},
    "claude-desktop": {
        "env": {"PICOCLAW_FLEET_CONFIG": "/srv/fleet.json", "SSH_AUTH_SOCK": "/run/user/1000/agent"},
    },
    "cursor": {
        "env": {
            "PICOCLAW_FLEET_CONFIG": "/srv/fleet.json",
            "SSH_AUTH_SOCK": "${env:SSH_AUTH_SOCK}",
            "ANTHROPIC_API_KEY": "${env:ANTHROPIC_API_KEY}",
        }
    },
    "vscode": {
        "type": "stdio",
        "env": {
            "PICOCLAW_FLEET_CONFIG": "/srv/fleet.json",
            "SSH_AUTH_SOCK": "${env:SSH_AUTH_SOCK}",
            "ANTHROPIC_API_KEY": "${env:ANTHROPIC_API_KEY}",
        },
    },
    "codex": {
        "env": {"PICOCLAW_FLEET_CONFIG": "/srv/fleet.json"},
        "env_vars": ["SSH_AUTH_SOCK", "ANTHROPIC_API_KEY"],
    },
    "gemini": {
        "timeout": 600_000,
        "env": {
            "PICOCLAW_FLEET_CONFIG": "/srv/fleet.json",
            "SSH_AUTH_SOCK": "$SSH_AUTH_SOCK",
            "ANTHROPIC_API_KEY": "$ANTHROPIC_API_KEY",
        },
    },
    "zed": {
        "source": "custom",
        "env": {"PICOCLAW_FLEET_CONFIG": "/srv/fleet.json", "SSH_AUTH_SOCK": "/run/user/1000/agent"},
    },
    "openclaw": {
        "env": {
            "PICOCLAW_FLEET_CONFIG": "/srv/fleet.json",
            "SSH_AUTH_SOCK": "${SSH_AUTH_SOCK}",
            "ANTHROPIC_API_KEY": "${ANTHROPIC_API_KEY}",
        }
    },
}
"""What each entry says besides command and args."""


def sample(name: str) -> Path:
    (found,) = SAMPLES.glob(f"{name}.*")
    return found


@pytest.fixture(params=CLIENTS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in (
        "XDG_CONFIG_HOME",
        "CLAUDE_CONFIG_DIR",
        "CODEX_HOME",
        "OPENCLAW_STATE_DIR",
        "OPENCLAW_CONFIG_PATH",
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_all_that_was_in_the_file_is_still_there_in_the_same_words(name: str, home: Path) -> None:
    client = client_named(name)
    before = sample(name).read_text()
    client.file.parent.mkdir(parents=True, exist_ok=True)
    client.file.write_text(before)
    client.file.chmod(0o640)

    done = install(client, client.file, LAUNCH)

    after = client.file.read_text()
    kept = iter(after.splitlines())
    lines = before.splitlines()
    # Ours stands between lines that are as they were, in their order, but for a comma.
    assert all(any(line in (one, one.removesuffix(",")) for one in kept) for line in lines)
    entry = installed_entry(client, client.file)
    assert entry == {"command": LAUNCH.command, "args": [], **ENVIRONMENTS[name]}
    assert done.changed
    assert done.backup is not None
    assert done.backup.read_text() == before
    assert done.backup.parent == client.file.parent
    assert client.file.stat().st_mode & 0o777 == 0o640


def test_doing_it_again_changes_nothing(name: str, home: Path) -> None:
    client = client_named(name)
    first = install(client, client.file, LAUNCH)
    assert (first.changed, first.backup) == (True, None)
    text, inode = client.file.read_text(), client.file.stat().st_ino
    again = install(client, client.file, LAUNCH)
    assert (again.changed, again.backup) == (False, None)
    assert (client.file.read_text(), client.file.stat().st_ino) == (text, inode)
    assert client.file.stat().st_mode & 0o777 == 0o600
    assert text == snippet(client, LAUNCH)


def test_a_moved_command_is_corrected_and_what_the_user_added_stays(name: str, home: Path) -> None:
    client = client_named(name)
    install(client, client.file, LAUNCH)
    text = client.file.read_text()
    mine = '"X_MINE": "1"' if client.style == "JSON" else 'X_MINE = "1"'
    client.file.write_text(text.replace('/srv/fleet.json"', f'/srv/fleet.json", {mine}', 1))
    install(client, client.file, replace(LAUNCH, command="/new/picoclaw-fleet"))
    entry = installed_entry(client, client.file)
    assert entry is not None
    assert entry["command"] == "/new/picoclaw-fleet"
    assert entry["env"] == {**ENVIRONMENTS[name]["env"], "X_MINE": "1"}


def test_no_secret_is_ever_written(name: str, home: Path) -> None:
    environ = {"HOME": str(home), "ANTHROPIC_API_KEY": "sk-ant-secret-0123456789", "SSH_AUTH_SOCK": "/agent"}
    config = home / "fleet.json"
    config.write_text(json.dumps({"hosts": [{"name": "a", "host": "h"}]}))
    client = client_named(name)
    launch = launch_of(str(config), environ=environ)
    install(client, client.file, launch)
    assert launch.secrets == ("ANTHROPIC_API_KEY",)
    assert "sk-ant" not in client.file.read_text()
    by_reference = "ANTHROPIC_API_KEY" in client.file.read_text()
    told = any("ANTHROPIC_API_KEY" in note for note in client.notes(launch))
    assert by_reference or told or client.passes_environment


def test_what_to_do_about_a_key_that_is_not_set_is_what_helps_with_this_client(name: str, home: Path) -> None:
    client = client_named(name)
    (note,) = client.notes(Launch("/bin/picoclaw-fleet", unset=("ANTHROPIC_API_KEY",)))
    if client.passes_environment:
        assert note.endswith(f"set it where {client.title} is started.")
    elif client.reference or client.forwards:
        assert "set it and run this again" in note
    else:
        # Run again it would still not be in there.
        assert 'add it under "env" yourself' in note


def test_several_variables_are_told_of_in_one_sentence(name: str, home: Path) -> None:
    (note,) = client_named(name).notes(Launch("/bin/picoclaw-fleet", unset=("ONE", "OTHER")))
    assert "ONE and OTHER are not" in note


def test_a_file_that_can_not_be_understood_is_left_alone(name: str, home: Path) -> None:
    client = client_named(name)
    client.file.parent.mkdir(parents=True, exist_ok=True)
    client.file.write_text("{ broken")
    with pytest.raises(UsageError, match="Nothing was changed") as refused:
        install(client, client.file, LAUNCH)
    assert f"clients show {name}" in refused.value.next_step
    assert [file.name for file in client.file.parent.iterdir()] == [client.file.name]
    assert client.file.read_text() == "{ broken"


def test_a_file_that_can_not_be_read_or_written_is_named(home: Path) -> None:
    client = client_named("cursor")
    client.file.parent.mkdir(parents=True)
    client.file.write_bytes(b"{} // caf\xe9")
    with pytest.raises(UsageError, match=r"mcp\.json is not UTF-8 text"):
        install(client, client.file, LAUNCH)
    client.file.write_text("{ broken")
    with pytest.raises(UsageError, match=r"mcp\.json:1: .*Nothing was changed"):
        installed_entry(client, client.file)
    client.file.unlink()
    client.file.mkdir()
    with pytest.raises(UsageError, match=r"mcp\.json can't be read: Is a directory"):
        installed_entry(client, client.file)
    # Where not even root can make anything.
    with pytest.raises(UsageError, match=r"^/proc/none/mcp\.json can't be written"):
        install(client, Path("/proc/none/mcp.json"), LAUNCH)


def test_a_link_stays_a_link(home: Path) -> None:
    client = client_named("cursor")
    real = home / "dotfiles" / "mcp.json"
    real.parent.mkdir()
    real.write_text("{}")
    client.file.parent.mkdir(parents=True)
    client.file.symlink_to(real)
    assert install(client, client.file, LAUNCH).file == real
    assert client.file.is_symlink()
    assert "picoclaw-fleet" in real.read_text()


def test_an_unknown_client_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="Did you mean gemini"):
        client_named("gemni")


def test_a_launch_says_what_differs_from_the_defaults(home: Path) -> None:
    plain = launch_of(environ={"HOME": str(home)}, argv=[str(home / "gone")])
    assert Path(plain.command).is_absolute()
    assert dict(plain.settings) == {}
    script = home / "bin" / "picoclaw-fleet"
    script.parent.mkdir()
    script.touch()
    other = launch_of("f.json", environ={"PICOCLAW_FLEET_STATE_DIR": "/state"}, argv=[str(script)])
    assert (other.command, other.args) == (str(script), ())
    assert other.settings == {
        "PICOCLAW_FLEET_CONFIG": str(Path("f.json").absolute()),
        "PICOCLAW_FLEET_STATE_DIR": "/state",
    }


def test_the_samples_are_what_their_clients_read() -> None:
    assert {file.stem for file in SAMPLES.iterdir()} == set(CLIENTS)
    tomllib.loads(sample("codex").read_text())
