from __future__ import annotations

from dataclasses import replace

import pytest
from tests.servers import NOBODY

from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.worker.model_access import key_variable, model_access
from picoclaw_fleet.worker.model_table import PROVIDERS
from picoclaw_fleet.worker.settings import secrets_of

HOST = replace(NOBODY, name="one", provider="anthropic", api_key_env="MY_KEY")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROVIDER", "API_KEY_ENV"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MY_KEY", " key-of-mine \n")


def test_the_table_has_the_model_where_the_config_has_none() -> None:
    access = model_access(HOST)
    assert (access.provider, access.model, access.key) == ("anthropic", PROVIDERS["anthropic"].model, "key-of-mine")
    assert model_access(replace(HOST, model="other")).model == "other"


def test_the_environment_goes_before_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDER", "openai")
    monkeypatch.setenv("API_KEY_ENV", "THEIR_KEY")
    monkeypatch.setenv("THEIR_KEY", "key-of-theirs")
    access = model_access(replace(HOST, model="claude-x"))
    # The config's model is the config's provider's.
    assert (access.provider, access.model, access.key) == ("openai", PROVIDERS["openai"].model, "key-of-theirs")
    assert secrets_of(HOST, {}) == {"key-of-theirs"}


def test_a_key_goes_to_no_provider_that_it_was_not_meant_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDER", "openai")
    assert key_variable(HOST) == ""
    with pytest.raises(HostError, match="OPENAI_API_KEY") as caught:
        model_access(HOST)
    assert caught.value.reason is Reason.KEY_MISSING


def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", " ")
    with pytest.raises(HostError, match="MY_KEY") as caught:
        model_access(HOST)
    assert caught.value.reason is Reason.KEY_MISSING


@pytest.mark.parametrize(
    "key", ["sk-ant-api03-abcdefghijklmnopqrstuvwxyz", f"gsk_{'Ab1' * 8}", "f3Ab" * 8, "a b", "A;B"]
)
def test_a_key_in_the_place_of_its_variables_name_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("API_KEY_ENV", key)
    with pytest.raises(HostError, match="API_KEY_ENV does not hold the name") as caught:
        model_access(HOST)
    assert key not in f"{caught.value} {caught.value.next_step}"
    # A teardown puts the variable's name into a command line on the host.
    assert key_variable(HOST) == "MY_KEY"


def test_a_key_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-one\nsk-two")
    with pytest.raises(HostError, match="control characters") as caught:
        model_access(HOST)
    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize(
    "api_base", ["http://127.0.0.1:1234/v1", "http://localhost/v1", "http://192.168.1.9/v1", "http://gpu.lan/v1"]
)
def test_a_server_nearby_may_want_no_key(monkeypatch: pytest.MonkeyPatch, api_base: str) -> None:
    monkeypatch.delenv("MY_KEY")
    access = model_access(replace(HOST, api_base=api_base, model="m"))
    assert (access.key, access.variable) == ("", "")


def test_a_server_on_the_internet_wants_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(HostError) as caught:
        model_access(replace(HOST, api_base="https://api.example.com/v1", model="m"))
    assert caught.value.reason is Reason.KEY_MISSING


def test_without_a_default_the_model_has_to_be_named() -> None:
    for host in (replace(HOST, provider="groq"), replace(HOST, api_base="http://localhost/v1")):
        with pytest.raises(HostError, match="model"):
            model_access(host)
