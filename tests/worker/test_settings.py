"""The environment for a worker, and which of it is secret."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from tests.servers import NOBODY

from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.worker.contract import Order
from picoclaw_fleet.worker.settings import secrets_of, settings_of


def test_references_are_resolved_and_the_rest_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_MINE", "hidden-value")
    host = replace(NOBODY, env={"TOKEN": "${TOKEN_OF_MINE}", "PLAIN": "a $b `c`", "EMPTY": ""})

    assert settings_of(host) == {"TOKEN": "hidden-value", "PLAIN": "a $b `c`", "EMPTY": ""}
    assert secrets_of(host, settings_of(host)) == {"hidden-value"}


def test_a_reference_to_nothing_is_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKEN_OF_MINE", raising=False)
    with pytest.raises(HostError, match="TOKEN_OF_MINE") as caught:
        settings_of(replace(NOBODY, env={"TOKEN": "${TOKEN_OF_MINE}"}))

    assert caught.value.reason is Reason.KEY_MISSING


@pytest.mark.parametrize("value", ["two\nlines", "\n\nTASK", "last\n"])
def test_a_value_of_several_lines_is_refused_since_a_line_is_what_the_host_reads(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("TOKEN_OF_MINE", value)
    with pytest.raises(HostError, match="TOKEN_OF_MINE") as caught:
        settings_of(replace(NOBODY, env={"TOKEN": "${TOKEN_OF_MINE}"}))

    assert caught.value.reason is Reason.KEY_MISSING
    assert "TASK" not in str(caught.value)


def test_the_key_of_the_provider_is_a_secret_though_no_setting_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_MINE", "key-0123456789")
    assert secrets_of(replace(NOBODY, api_key_env="KEY_OF_MINE"), {}) == {"key-0123456789"}


def test_short_values_are_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_MINE", "debug")
    host = replace(NOBODY, env={"LEVEL": "${TOKEN_OF_MINE}"})
    assert secrets_of(host, settings_of(host)) == frozenset()


@pytest.mark.parametrize(("wanted", "value"), [(True, "true"), (False, "false")])
def test_the_restriction_to_the_workspace_is_a_setting(wanted: bool, value: str) -> None:
    settings = settings_of(replace(NOBODY, restrict_to_workspace=wanted))
    assert settings == {"PICOCLAW_AGENTS_DEFAULTS_RESTRICT_TO_WORKSPACE": value}


def test_a_value_that_is_no_text_goes_to_the_host_byte_for_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN_OF_MINE", os.fsdecode(b"latin \xe9"))
    settings = settings_of(replace(NOBODY, env={"TOKEN": "${TOKEN_OF_MINE}"}))

    assert Order("j_x", b"task", 1, 1, 1, settings).stdin() == b"TOKEN=latin \xe9\n\ntask\n"
