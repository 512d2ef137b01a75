from __future__ import annotations

import json
from dataclasses import replace

import pytest

from picoclaw_fleet.worker.model_access import ModelAccess
from picoclaw_fleet.worker.picoclaw_config import Scope, settings_for

ACCESS = ModelAccess("anthropic", "claude-x", "", "MY_KEY", 'sk-"quoted"')
GATEWAY = ModelAccess("anthropic", "vendor/model", "http://127.0.0.1:8080/v1", "", "")


def config_of(version: str, access: ModelAccess = ACCESS) -> dict[str, object]:
    return json.loads(settings_for(version, access, has_owner=False).files["config.json"])


def test_the_first_versions_read_the_key_from_their_providers() -> None:
    assert config_of("0.1.2") == {
        "agents": {"defaults": {"provider": "anthropic", "model": "claude-x"}},
        "providers": {"anthropic": {"api_key": ACCESS.key}},
    }


@pytest.mark.parametrize("version", ["0.2.0", "0.2.1", "0.2.3"])
def test_from_0_2_0_the_key_stands_in_the_list_of_models(version: str) -> None:
    assert config_of(version) == {
        "agents": {"defaults": {"model_name": "claude-x"}},
        "model_list": [{"model_name": "claude-x", "model": "anthropic/claude-x", "api_key": ACCESS.key}],
    }


@pytest.mark.parametrize(
    ("version", "schema"),
    [
        ("0.2.4", 1),
        ("0.2.5", 2),
        ("0.2.6", 2),
        ("0.2.7", 3),
        ("0.2.9", 3),
        ("0.2.9-nightly.20260601.1a2b3c4d", 3),
        ("0.3.0", 3),
        ("1.0.0", 3),
        ("dev", 3),
    ],
)
def test_from_0_2_4_the_key_has_a_file_of_its_own(version: str, schema: int) -> None:
    settings = settings_for(version, ACCESS, has_owner=False)
    assert config_of(version) == {
        "version": schema,
        "agents": {"defaults": {"model_name": "claude-x"}},
        "model_list": [{"model_name": "claude-x", "model": "anthropic/claude-x", "enabled": True}],
    }
    assert settings.files[".security.yml"] == 'model_list:\n  "claude-x:0":\n    api_keys: ["sk-\\"quoted\\""]\n'


@pytest.mark.parametrize("version", ["0.2.3", "0.2.4", "0.2.9"])
def test_a_server_of_ones_own_is_spoken_to_as_openai_s(version: str) -> None:
    entry = config_of(version, GATEWAY)["model_list"]
    assert entry == [
        {"model_name": "vendor/model", "model": "openai/vendor/model", "api_base": GATEWAY.api_base}
        | ({"enabled": True} if version > "0.2.3" else {})
    ]


def test_the_first_versions_want_some_key_even_where_none_is_needed() -> None:
    assert config_of("0.1.2", GATEWAY)["providers"] == {"openai": {"api_key": "none", "api_base": GATEWAY.api_base}}


@pytest.mark.parametrize(
    ("version", "has_owner", "scope"),
    [
        ("0.1.2", False, Scope.HOME),
        ("0.2.0", True, Scope.OWNER),
        ("0.2.1", False, Scope.OWN),
        ("0.2.9", True, Scope.OWN),
    ],
)
def test_where_settings_lie_depends_on_the_version_and_on_the_owner(
    version: str, has_owner: bool, scope: Scope
) -> None:
    assert settings_for(version, ACCESS, has_owner=has_owner).scope is scope


def test_the_digest_tells_another_key_and_no_text_shows_it() -> None:
    settings = settings_for("0.2.9", ACCESS, has_owner=False)
    other = settings_for("0.2.9", replace(ACCESS, key="sk-other"), has_owner=False)
    assert settings.digest != other.digest
    assert ACCESS.key not in f"{settings!r}{ACCESS!r}"


def test_env_has_the_provider_and_the_key() -> None:
    settings = settings_for("0.2.9", ACCESS, has_owner=False)
    assert settings.files["env"] == f"PROVIDER=anthropic\nMY_KEY={ACCESS.key}\n"
    assert settings_for("0.2.9", GATEWAY, has_owner=False).files["env"] == "PROVIDER=anthropic\n"
