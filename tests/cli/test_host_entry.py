"""Adding a host to the fleet config, beside others who do the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from picoclaw_fleet.cli.host_entry import Draft
from picoclaw_fleet.errors import ConfigError, UsageError


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "fleet.json"


def entry(name: str) -> dict[str, str]:
    return {"name": name, "host": "192.0.2.1"}


def test_what_others_have_added_since_it_was_drafted_stays(config: Path) -> None:
    one, two = Draft.of(config, entry("one")), Draft.of(config, entry("two"))
    one.save()
    two.save()
    assert [host["name"] for host in json.loads(config.read_text())["hosts"]] == ["one", "two"]


def test_a_name_that_somebody_else_has_taken_since_is_refused(config: Path) -> None:
    one, two = Draft.of(config, entry("one")), Draft.of(config, entry("one"))
    one.save()
    before = config.read_text()
    with pytest.raises(UsageError, match="has a host one already"):
        two.save()
    assert config.read_text() == before


def test_a_config_that_can_not_be_read_is_told_with_the_line(config: Path) -> None:
    config.write_bytes(b'{\n"hosts": "\xe9"}')
    with pytest.raises(ConfigError, match=r"fleet\.json:2: this is not UTF-8 text"):
        Draft.of(config, entry("one"))
