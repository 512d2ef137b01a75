"""Adding a host to the fleet config: the text stays as the user wrote it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from picoclaw_fleet.clients import json_text
from picoclaw_fleet.config.file import TEMPLATE, load_config
from picoclaw_fleet.config.inventory import Host, Inventory
from picoclaw_fleet.errors import ConfigError, UsageError
from picoclaw_fleet.folder_lock import alone_in
from picoclaw_fleet.whole_file import write_whole


@dataclass(frozen=True, slots=True)
class Draft:
    """The fleet config with one more host, not written yet.

    Attributes:
        path: The fleet config's file.
        entry: The new host's keys.
        text: What is to be in the file.
        fleet: The hosts that are then in it.
        host: The new one of them.
    """

    path: Path
    entry: Mapping[str, Any]
    text: str
    fleet: Inventory
    host: Host

    @classmethod
    def of(cls, path: Path, entry: Mapping[str, Any]) -> Draft:
        """Drafts it.

        Args:
            path: The fleet config's file; it need not exist, and the template's sample host gives way.
            entry: The new host's keys.

        Raises:
            ConfigError: The config can't be used as it is, or not with that host in it.
        """
        text = _text(path)
        name = str(entry["name"])
        if text != TEMPLATE and name in {host.name for host in load_config(path).hosts}:
            raise UsageError(f"{path} has a host {name} already.", next_step="Edit it there, or take another name.")
        text = _without_sample(text) if text == TEMPLATE else text
        text = json_text.append(text, ("hosts",), dict(entry))
        fleet = _checked(path, text)
        return cls(path, entry, text, fleet, fleet.get(name))

    def save(self) -> None:
        """Writes it, all or nothing, on top of what others have written since.

        Raises:
            ConfigError: The config can't be used any more.
            UsageError: It can't be written, or has such a host by now.
        """
        target = self.path.resolve()
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            # Of two who add a host at the same time, one would lose it.
            with alone_in(target.parent):
                write_whole(target, Draft.of(self.path, self.entry).text)
        except OSError as error:
            raise UsageError(f"{target} can't be written: {error.strerror}.") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return TEMPLATE
    except (OSError, UnicodeDecodeError):
        load_config(path)  # it says what is wrong
        raise


def _without_sample(text: str) -> str:
    return json.dumps({**json.loads(text), "hosts": []}, indent=2) + "\n"


def _checked(path: Path, text: str) -> Inventory:
    """Reads the text as a fleet config; errors speak of the file that it is for."""
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder, path.name)
        draft.write_text(text, encoding="utf-8")
        try:
            return Inventory.from_config(load_config(draft))
        except ConfigError as error:
            message = error.message.replace(f"{draft}:", f"{path}: with the new host, line ")
            raise UsageError(message, next_step="Nothing was added.") from error
