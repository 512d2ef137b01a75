"""The roster: the hosts as the fleet config has them now, or last had them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from picoclaw_fleet.config.file import ConfigSource
from picoclaw_fleet.config.inventory import Host, Inventory
from picoclaw_fleet.config.model import Defaults
from picoclaw_fleet.errors import ConfigError


class Roster:
    """The hosts of a config that may change at any time.

    Args:
        source: The config.
    """

    def __init__(self, source: ConfigSource) -> None:
        self._source = source
        self._last_good = Inventory(())
        self._made_of: object = None

    def current(self) -> Inventory:
        """The hosts as the config has them now.

        Raises:
            ConfigError: The config can't be used.
        """
        config = self._source.current()
        if config is not self._made_of:
            self._last_good, self._made_of = Inventory.from_config(config), config
        return self._last_good

    def latest(self) -> Inventory:
        """What is current, else what last was; for what goes on without anybody's asking, so nothing is created."""
        with suppress(ConfigError, OSError):
            if self._source.path.exists():
                return self.current()
        return self._last_good

    def find(self, name: str) -> Host | None:
        """The host of that name in the latest; None when it isn't there."""
        return self.latest().find(name)

    def defaults(self) -> Defaults:
        """What the config says for all hosts.

        Raises:
            ConfigError: The config can't be used.
        """
        return self._source.current().defaults

    def config(self) -> dict[str, Any]:
        """What the file says now: without who may call over HTTP, and of `env` the names alone.

        Raises:
            ConfigError: The config can't be used.
        """
        shown = self._source.current().model_dump(mode="json", exclude_none=True, exclude={"http"})
        for settings in (shown["defaults"], *shown["hosts"]):
            if "env" in settings:
                settings["env"] = dict.fromkeys(settings["env"], "(set)")
        return shown
