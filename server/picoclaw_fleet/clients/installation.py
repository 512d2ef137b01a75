"""Writing our entry into a client's file: what is there stays, with a backup beside it, all or nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from picoclaw_fleet.clients import json_text, toml_text
from picoclaw_fleet.clients.client import Client
from picoclaw_fleet.clients.jsonc import SourceError
from picoclaw_fleet.clients.launch import Launch
from picoclaw_fleet.errors import UsageError
from picoclaw_fleet.whole_file import write_whole


@dataclass(frozen=True, slots=True)
class Installation:
    """What was done.

    Attributes:
        file: The client's file.
        changed: False when everything was there already.
        backup: The file as it was before; None when there was none, or nothing changed.
    """

    file: Path
    changed: bool
    backup: Path | None


def snippet(client: Client, launch: Launch) -> str:
    """What belongs into the client's file, as a file of its own."""
    entry = client.entry(launch)
    if client.style == "TOML":
        return toml_text.render(client.path, entry)
    value: object = entry
    for key in reversed(client.path):
        value = {key: value}
    return json_text.render(value) + "\n"


def install(client: Client, file: Path, launch: Launch) -> Installation:
    """Writes our entry into a client's file; what stands there besides is kept as it is.

    Raises:
        UsageError: The file can't be read, understood or written; it is left as it was.
    """
    # Where the file is a link into somebody's dotfiles it stays one.
    file = file.resolve()
    before = _read(file)
    after = _with_entry(client, file, before or "", launch)
    if after == before:
        return Installation(file, changed=False, backup=None)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        backup = _back_up(file) if before is not None else None
        write_whole(file, after)
    except OSError as error:
        raise UsageError(f"{file} can't be written: {error.strerror}. It is as it was.") from error
    return Installation(file, changed=True, backup=backup)


def installed_entry(client: Client, file: Path) -> Mapping[str, Any] | None:
    """What a client's file says of this server; None when it says nothing.

    Raises:
        UsageError: The file can't be read or understood.
    """
    text = _read(file)
    if text is None:
        return None
    try:
        value = (toml_text if client.style == "TOML" else json_text).value_at(text, client.path)
    except ValueError as error:
        raise _not_understood(client, file, error) from error
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else None


def _with_entry(client: Client, file: Path, text: str, launch: Launch) -> str:
    entry = client.entry(launch)
    try:
        return (toml_text if client.style == "TOML" else json_text).merge(text, client.path, entry)
    except (ValueError, TypeError) as error:
        raise _not_understood(client, file, error) from error


def _read(file: Path) -> str | None:
    try:
        return file.read_bytes().decode()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text.", next_step="Save it as UTF-8; nothing was changed.") from error
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error.strerror}.") from error


def _not_understood(client: Client, file: Path, error: Exception) -> UsageError:
    place = f"{file}:{error.line}" if isinstance(error, SourceError) else str(file)
    return UsageError(
        f"{place}: {error}. Nothing was changed.",
        next_step=f"Mend the file, or put in what this prints: picoclaw-fleet clients show {client.name}",
    )


def _back_up(file: Path) -> Path:
    """Copies a file beside itself, with its mode, under a name that no other backup has."""
    stamp = f"{datetime.now():%Y%m%d-%H%M%S}"
    mode = file.stat().st_mode & 0o777
    for number in range(100):
        backup = file.with_name(f"{file.name}.{stamp}{f'-{number}' * bool(number)}.bak")
        with suppress(FileExistsError):
            descriptor = os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as copy:
                copy.write(file.read_bytes())
            return backup
    raise OSError(None, "there are too many backups of this second")
