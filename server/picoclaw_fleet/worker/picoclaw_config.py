"""PicoClaw's settings, written for the exact version that will read them.

Read in the source of 0.1.2 to 0.2.9. Nothing is left to PicoClaw's migrations: later versions refuse fields that
earlier ones need, and migrating leaves copies with the key in plain text. A version newer than all of these gets the
newest form, and the dry run tells whether it takes it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from picoclaw_fleet.worker.model_access import ModelAccess

_NEWEST = (999,)
_SCHEMAS = (((0, 2, 7), 3), ((0, 2, 5), 2), ((0, 2, 4), 1))
"""Since which release config.json carries which `version`, the newest first."""


class Scope(StrEnum):
    """Where a version looks for its settings."""

    OWN = "own"
    """Where PICOCLAW_CONFIG says (from 0.2.1): beside the binary."""
    HOME = "home"
    """In ~/.picoclaw/config.json and nowhere else, and there are none yet, or ours."""
    OWNER = "owner"
    """There as well, but these are the owner's: the worker uses them as they are."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The files that make a version of PicoClaw work.

    Attributes:
        files: Text by name: config.json, .security.yml where the version has it, and `env`, our lines for .env.
        variables: The names of the variables in `env`.
        scope: Where the version reads them.
    """

    files: Mapping[str, str] = field(repr=False)
    variables: tuple[str, ...]
    scope: Scope

    def as_stdin(self) -> bytes:
        """The files as install.sh receives them."""
        contents = {name: text.encode() for name, text in self.files.items()}
        return b"".join(f"{name} {len(text)}\n".encode() + text for name, text in contents.items()) + b"end 0\n"

    @property
    def digest(self) -> str:
        """Changes when any of the files does. Stays among those who may read the files: it is made of the key, too."""
        return hashlib.sha256(self.as_stdin()).hexdigest()


def settings_for(version: str, access: ModelAccess, *, has_owner: bool) -> Settings:
    """Writes the settings for a version.

    Args:
        version: As the binary says, such as 0.2.9 or 0.2.9-nightly.20260601.1a2b3c4d.
        access: The model and the key.
        has_owner: Whether ~/.picoclaw/config.json is the owner's.
    """
    release = _release(version)
    files = _files(release, access)
    variables = {"PROVIDER": access.provider} | ({access.variable: access.key} if access.variable else {})
    files["env"] = "".join(f"{name}={value}\n" for name, value in variables.items())
    beside_binary = release >= (0, 2, 1)
    scope = Scope.OWN if beside_binary else Scope.OWNER if has_owner else Scope.HOME
    return Settings(files, tuple(variables), scope)


def _files(release: tuple[int, ...], access: ModelAccess) -> dict[str, str]:
    # With an address of its own any provider is spoken to as OpenAI's API is; PicoClaw does so for anthropic anyway.
    protocol = "openai" if access.api_base else access.provider
    server = {"api_base": access.api_base} if access.api_base else {}
    if release < (0, 2):
        # An empty key is refused even for a server that wants none.
        provider = {"api_key": access.key or "none", **server}
        defaults = {"provider": protocol, "model": access.model}
        return {"config.json": _json({"agents": {"defaults": defaults}, "providers": {protocol: provider}})}
    # The alias is the id itself: later versions look it up a second time under the resolved name.
    entry: dict[str, object] = {"model_name": access.model, "model": f"{protocol}/{access.model}", **server}
    defaults = {"model_name": access.model}
    schema = next((schema for since, schema in _SCHEMAS if release >= since), 0)
    if not schema:
        model = {**entry, "api_key": access.key} if access.key else entry
        return {"config.json": _json({"agents": {"defaults": defaults}, "model_list": [model]})}
    config = {"version": schema, "agents": {"defaults": defaults}, "model_list": [{**entry, "enabled": True}]}
    # YAML's double quotes read what JSON's write.
    keys = f"    api_keys: [{json.dumps(access.key)}]\n" if access.key else "    api_keys: []\n"
    security = f"model_list:\n  {json.dumps(access.model + ':0')}:\n{keys}"
    return {"config.json": _json(config), ".security.yml": security}


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version; the newest of all for what has none, such as `dev`."""
    numbers = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in numbers[1].split(".")) if numbers else _NEWEST


def _json(value: object) -> str:
    return json.dumps(value) + "\n"
