"""Writes configuration.md and command-line.md from models and commands: `python docs/reference.py`."""

from __future__ import annotations

from pathlib import Path

from commands import command_line
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from picoclaw_fleet.config.file import TEMPLATE
from picoclaw_fleet.config.model import Defaults, FleetConfig, HostConfig, HttpConfig, Settings, TokenConfig

FOLDER = Path(__file__).parent

HEAD = f"""\
# Configuration

<!-- Made by docs/reference.py from the models in server/picoclaw_fleet/config/model.py; don't edit it here. -->

The fleet config is a JSON file. It is looked for in this order:

1. what `--config` names,
2. what the environment variable `PICOCLAW_FLEET_CONFIG` names,
3. `~/.openclaw/workspace/config/picoclaw-fleet.json`.

What `--config` names has to be there; `init` and `add` make it. Elsewhere, where there is none, the first call makes
this one, with mode 0600, and says so:

```json
{TEMPLATE.strip()}
```

The file is read again when it has changed. While it can't be used, calls fail with file, line and key; running jobs go
on with what it said before.
"""

VARIABLES = """\
## Environment variables of the server

| variable | meaning |
| --- | --- |
| `PICOCLAW_FLEET_CONFIG` | the fleet config |
| `PICOCLAW_FLEET_STATE_DIR` | the folder for ledger and outputs; else the platform's place for state |
| `PICOCLAW_FLEET_CACHE_DIR` | the folder for downloaded releases; else the platform's place for caches |
| `PROVIDER`, `API_KEY_ENV` | override `provider` and `api_key_env` for deploy |
| `GITHUB_TOKEN` | raises GitHub's rate limit when releases are looked up |
| `SSH_AUTH_SOCK` | the ssh-agent, as for ssh |
"""


def documents() -> dict[str, str]:
    """All that is made here, by the names of the files."""
    return {"configuration.md": configuration(), "command-line.md": command_line()}


def configuration() -> str:
    """The whole of configuration.md."""
    own = set(HostConfig.model_fields) - set(Settings.model_fields)
    fleet_wide = set(Defaults.model_fields) - set(Settings.model_fields)
    parts = [
        HEAD,
        "## The file\n\n" + _table(FleetConfig, set(FleetConfig.model_fields)),
        "## A host: an entry of `hosts`\n\n" + _table(HostConfig, own),
        "## Settings: in a host, or in `defaults` for all of them\n\n" + _table(Settings, set(Settings.model_fields)),
        "## Settings of the whole fleet: in `defaults` only\n\n" + _table(Defaults, fleet_wide),
        "## Serving over HTTP: in `http`\n\n" + _table(HttpConfig, set(HttpConfig.model_fields)),
        "## A token: an entry of `http.tokens`\n\n" + _table(TokenConfig, set(TokenConfig.model_fields)),
        VARIABLES,
    ]
    return "\n".join(parts)


def _table(model: type[BaseModel], keys: set[str]) -> str:
    rows = [_row(key, field) for key, field in model.model_fields.items() if key in keys]
    return "\n".join(["| key | meaning |", "| --- | --- |", *rows, ""])


def _row(key: str, field: FieldInfo) -> str:
    required = " **Required.**" if field.is_required() else ""
    return f"| `{key}` | {(field.description or '').replace('|', chr(92) + '|')}{required} |"


if __name__ == "__main__":
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
