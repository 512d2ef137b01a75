"""API keys: .security.yml, and keys that live in a file of their own."""

from __future__ import annotations

import os

from plain_json import loads
from release import LATEST, LOADING, CommandError
from streams import log, read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]


def security_path(config_path: str) -> str:
    return os.path.join(os.path.dirname(config_path), ".security.yml")


def numbered(models: list[Json]) -> list[tuple[str, Json]]:
    """Names every model as .security.yml does: "name:0" for the first of that name, "name:1" for the next."""
    names = [entry.get("model_name", "") for entry in models]
    return [(f"{name}:{names[:index].count(name)}", models[index]) for index, name in enumerate(names)]


def attach_keys(models: list[Json], config_path: str) -> None:
    """Gives every model its `api_keys`, as written; raises CommandError for a key file that can't be used."""
    secured = read_security(read_text(security_path(config_path)))
    listed = [*secured.values(), *(entry.get("api_keys") or [] for entry in models)]
    for key in [key for keys in listed for key in keys]:
        try:
            plain_key(key, config_path)
        except FileNotFoundError as missing:
            path = missing.filename
            detail = (
                f'credential: failed to resolve credential file path "{path}": lstat {path}: no such file or directory'
            )
            if not LATEST:
                raise CommandError(detail, LOADING) from None
            log.write("error", f"Resolve error: {detail}")
            secured = {}  # it takes .security.yml itself for missing, and goes on
    for name, entry in numbered(models):
        inline = entry.get("api_keys") or [key for key in [entry.pop("api_key", "")] if key]
        own = secured.get(name, secured.get(name.rpartition(":")[0]))
        if LATEST:  # an entry in .security.yml wins even when it is empty
            entry["api_keys"] = inline if own is None else own
        else:
            entry["api_keys"] = inline or own or []


def read_security(text: str) -> dict[str, list[str]]:
    """Returns the keys by model name. Understands JSON and the block style that PicoClaw itself writes."""
    if text.startswith("{"):
        models: dict[str, Json] = loads(text).get("model_list", {})
        return {name: entry.get("api_keys", []) for name, entry in models.items()}
    keys: dict[str, list[str]] = {}
    section = name = ""
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if not raw.startswith(" "):
            section = line
        elif section != "model_list:":
            continue
        elif line.startswith("- "):
            keys[name].append(unquoted(line[2:]))
        elif line.startswith("api_keys:"):
            keys[name] += [unquoted(key) for key in line.partition(":")[2].strip(" []").split(",") if key.strip()]
        elif line.endswith((":", ": {}")):
            name = unquoted(line.removesuffix("{}").strip().removesuffix(":"))
            keys[name] = []
        # Anything else there is ignored by PicoClaw as well.
    return keys


def unquoted(text: str) -> str:
    return text.strip().strip("\"'")


def plain_key(key: str, config_path: str) -> str:
    """Returns the key itself: the text, or what the file holds that a `file://` names."""
    if not key.startswith("file://"):
        return key
    folder = os.path.realpath(os.path.dirname(config_path))
    path = os.path.realpath(os.path.join(folder, key.removeprefix("file://")))
    if not path.startswith(folder + "/"):
        raise CommandError("credential: file:// path escapes config directory", LOADING)
    with open(path, encoding="utf-8") as file:
        value = file.read().strip()
    if not value:
        raise CommandError(f'credential: credential file "{path}" is empty', LOADING)
    return value
