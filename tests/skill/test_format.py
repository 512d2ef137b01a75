"""The skill as a document, and as a package that keeps to what the server does."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.servers import NOBODY
from tests.skill.desk import SCRIPTS, SKILL

from picoclaw_fleet.config.file import DEFAULT_PATH, TEMPLATE
from picoclaw_fleet.config.model import Defaults, FleetConfig, HostConfig
from picoclaw_fleet.errors import HostError
from picoclaw_fleet.worker.model_access import ModelAccess, model_access
from picoclaw_fleet.worker.model_table import PROVIDERS
from picoclaw_fleet.worker.picoclaw_config import settings_for

WORKER = Path(__file__).parents[2] / "server/picoclaw_fleet/worker"
SHARED = ("runner.sh", "probe.sh", "ground.sh", "install.sh", "removal.sh")
HEADINGS = [
    "Purpose",
    "Skill Files",
    "1) Always read fleet config first",
    "2) Deploy PicoClaw to a host",
    "3) Dispatch one-shot work",
    "4) Run tasks in parallel across hosts",
    "5) Host selection policy",
    "6) Teardown (optional)",
    "Failure handling",
    "Recommended workflow",
]
"""Of the skill that this one succeeds."""

MOST_LINES = 500
MOST_TOKENS = 5000
CHARACTERS_PER_TOKEN = 4


@pytest.mark.parametrize("name", SHARED)
def test_what_runs_on_a_host_is_the_servers_own_file(name: str) -> None:
    copy, original = SCRIPTS / "host" / name, WORKER / name
    assert copy.read_bytes() == original.read_bytes(), (
        "refresh it: cp server/picoclaw_fleet/worker/{runner,probe,ground,install,removal}.sh "
        "skill/picoclaw-fleet/scripts/host/"
    )


@pytest.mark.parametrize("version", ["0.1.2", "0.2.0", "0.2.3", "0.2.4", "0.2.5", "0.2.9", "dev"])
@pytest.mark.parametrize("access", [("anthropic", "", ""), ("openrouter", "m/x", ""), ("local", "m", "http://h/v1")])
def test_picoclaw_gets_the_very_settings_that_the_server_writes(
    tmp_path: Path, version: str, access: tuple[str, str, str]
) -> None:
    provider, model, api_base = access
    env = {"PROVIDER": provider, "MODEL": model, "API_BASE": api_base, "API_KEY_ENV": "THE_KEY", "THE_KEY": 'a"key\\'}
    parcel = tmp_path / "parcel"
    subprocess.run(
        [sys.executable, SCRIPTS / "fleet_json.py", "settings", version, parcel], env=env, check=True, timeout=20
    )
    usual = model or PROVIDERS[provider].model
    expected = settings_for(version, ModelAccess(provider, usual, api_base, "THE_KEY", 'a"key\\'), has_owner=False)
    assert parcel.read_bytes() == f"{expected.digest}\n".encode() + expected.as_stdin()


@pytest.mark.parametrize(
    "api_base",
    ["http://127.0.0.1:1/v1", "https://vllm.lan/v1", "http://ollama:11434", "http://8.8.8.8/v1", "https://api.x.ai"],
)
def test_a_key_may_be_missing_where_it_may_be_for_the_server(tmp_path: Path, api_base: str) -> None:
    config = tmp_path / "fleet.json"
    config.write_text(json.dumps({"hosts": [], "defaults": {"provider": "local", "api_base": api_base}}))
    asked = [sys.executable, SCRIPTS / "fleet_json.py", "host", config, "h", "u"]
    done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=20)
    host = replace(NOBODY, provider="local", model="m", api_base=api_base)
    if "keyless yes" in done.stdout.splitlines():
        assert model_access(host).key == ""
    else:
        with pytest.raises(HostError):
            model_access(host)


def test_the_scripts_know_every_key_of_the_fleet_config() -> None:
    known = runpy.run_path(str(SCRIPTS / "fleet_json.py"))
    assert set(known["PARTS"]) == set(FleetConfig.model_fields)
    assert set(known["FLEET_SETTINGS"]) == set(Defaults.model_fields)
    assert set(known["HOST_SETTINGS"]) == set(HostConfig.model_fields)


def test_the_scripts_can_do_with_a_config_for_serving_over_http(tmp_path: Path) -> None:
    config = tmp_path / "fleet.json"
    config.write_text('{"hosts": [{"name": "one", "host": "192.0.2.1"}], "http": {"max_sessions": 10}}')
    asked = [sys.executable, SCRIPTS / "fleet_json.py", "hosts", config]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=20)
    assert (done.stdout, done.stderr) == ("one\x1f192.0.2.1\x1f\n", "")


def test_the_sections_of_the_original_are_there_in_their_order() -> None:
    headings = re.findall(r"^## (.+)$", (SKILL / "SKILL.md").read_text(), re.MULTILINE)
    assert headings == HEADINGS


def test_path_and_template_of_the_config_are_the_servers() -> None:
    text = (SKILL / "SKILL.md").read_text()
    assert f"`{DEFAULT_PATH}`" in text
    assert f"```json\n{TEMPLATE}```" in text
    assert TEMPLATE in (SCRIPTS / "fleet-status.sh").read_text()


def test_it_keeps_to_the_budgets_of_agent_skills() -> None:
    _, front, body = (SKILL / "SKILL.md").read_text().split("---\n", 2)
    fields = dict(re.findall(r"^(\w+): (.+)$", front, re.MULTILINE))
    assert fields["name"] == SKILL.name
    assert 0 < len(fields["description"]) <= 1024
    assert len(fields["compatibility"]) <= 500
    assert body.count("\n") < MOST_LINES
    assert len(body) < MOST_TOKENS * CHARACTERS_PER_TOKEN


def test_every_file_that_it_names_is_there_and_its_commands_can_be_run() -> None:
    for document in (SKILL / "SKILL.md", *(SKILL / "references").glob("*.md")):
        for name in re.findall(r"(?:scripts|references)/[\w./-]+\w", document.read_text()):
            assert (SKILL / name).exists(), name
    for script in ("deploy", "dispatch", "fleet-status", "teardown"):
        assert os.access(SCRIPTS / f"{script}.sh", os.X_OK)


def test_every_variable_that_the_scripts_read_is_declared() -> None:
    declared = set(re.findall(r"- name: (\w+)", (SKILL / "SKILL.md").read_text()))
    read = {name for path in SCRIPTS.glob("*.sh") for name in re.findall(r"\$\{(\w+):-", path.read_text())}
    ours = {name for name in read if name.isupper()} - {"HOME", "TMPDIR", "USER", "HOSTNAME", "XDG_CACHE_HOME"}
    assert ours <= declared


def test_no_script_switches_off_the_check_of_host_keys() -> None:
    assert [path for path in SCRIPTS.rglob("*.sh") if "StrictHostKeyChecking=no" in path.read_text()] == []


@pytest.mark.parametrize("command", [("agentskills", "validate"), ("skillsaw", "lint")], ids=lambda command: command[0])
def test_the_validators_of_the_format_find_nothing(command: tuple[str, str]) -> None:
    validator = Path(sys.executable).with_name(command[0])
    if not validator.exists():
        pytest.skip(f"{command[0]} is not installed")
    checked = subprocess.run([validator, command[1], SKILL], capture_output=True, text=True, timeout=30)
    assert checked.returncode == 0, checked.stdout + checked.stderr
