"""The file of the fleet config: where it is found, the template, reading it, and reading it again when it changes."""

from __future__ import annotations

import os
import shlex
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path

from pydantic import ValidationError

from picoclaw_fleet.config.json_source import JsonSource
from picoclaw_fleet.config.model import FleetConfig
from picoclaw_fleet.config.problems import config_error, problems_in
from picoclaw_fleet.config.values import expand_home
from picoclaw_fleet.errors import ConfigError

DEFAULT_PATH = "~/.openclaw/workspace/config/picoclaw-fleet.json"
PATH_VARIABLE = "PICOCLAW_FLEET_CONFIG"

TEMPLATE = """\
{
  "hosts": [
    {
      "name": "darth",
      "host": "192.168.50.57",
      "user": "eric",
      "arch": "arm64",
      "ssh_key": "~/.ssh/id_rsa"
    }
  ],
  "defaults": {
    "provider": "anthropic",
    "api_key_env": "ANTHROPIC_API_KEY"
  }
}
"""


def config_path(argument: str | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """Finds the fleet config: the argument, else PICOCLAW_FLEET_CONFIG, else the usual place.

    Args:
        argument: What `--config` names; None or empty when it was not given.
        environ: The environment to look into.
    """
    return expand_home(argument or environ.get(PATH_VARIABLE) or DEFAULT_PATH)


def config_source(argument: str | None = None) -> ConfigSource:
    """The fleet config where it is found; a file that `--config` names has to be there already.

    Args:
        argument: What `--config` names; None or empty when it was not given.
    """
    return ConfigSource(config_path(argument), creates=not argument)


def command_for(path: Path, *words: str) -> str:
    """A command of ours that may be typed next, for the fleet config at a path."""
    return shlex.join(["picoclaw-fleet", *words, *([] if path == config_path() else ["--config", str(path)])])


def create_template(path: Path) -> bool:
    """Writes the template with mode 0600, and the folders it needs; a file that exists is left as it is.

    Returns:
        True when the file was created, False when there was one already.

    Raises:
        ConfigError: It can't be written there.
    """
    try:
        # Where nothing can be written what is there already would not be met below.
        if path.exists():
            return False
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.") as draft:
            draft.write(TEMPLATE)
            draft.flush()
            # Unlike a rename a link never replaces a file that someone else has put there meanwhile.
            Path(path).hardlink_to(draft.name)
    except FileExistsError:
        return False
    except OSError as error:
        raise ConfigError(
            f"there is no fleet config, and the template can't be created: {error.strerror}.",
            file=path,
            next_step="Create the file yourself, or name another one with --config or PICOCLAW_FLEET_CONFIG.",
        ) from error
    return True


def load_config(path: Path) -> FleetConfig:
    """Reads a fleet config.

    Raises:
        ConfigError: It can't be read or used. All that is wrong with it is said at once, with lines and keys.
    """
    return _read(path)[0]


class ConfigSource:
    """The fleet config as it is now: an edit counts from the next call on.

    Args:
        path: The file.
        creates: Whether the template is put there when it is missing. What a person has just named may be mistyped.

    Attributes:
        path: The file.
        last_good: The config as it last was without problems; running jobs go on with it. None before the first.
    """

    def __init__(self, path: Path, *, creates: bool = True) -> None:
        self.path = path
        self._creates = creates
        self.last_good: FleetConfig | None = None
        self._version: _Version | None = None

    def current(self) -> FleetConfig:
        """Returns the config, read again only when the file has changed; otherwise this costs one stat.

        Raises:
            ConfigError: The file can't be used, or it was missing and has just been created from the template.
        """
        try:
            version = _Version.of(self.path.stat())
        except FileNotFoundError:
            self._create_if_new()
        except OSError as error:
            raise _unreadable(self.path, error) from error
        else:
            if self.last_good is not None and version == self._version:
                return self.last_good
        self.last_good, self._version = _read(self.path)
        return self.last_good

    def _create_if_new(self) -> None:
        if self.last_good is not None:
            # The template's host would silently take the place of the user's own fleet.
            raise ConfigError("the fleet config is gone.", file=self.path, next_step="Put it back.")
        if not self._creates:
            next_step = f"Make one with: {command_for(self.path, 'init')}"
            raise ConfigError("there is no such fleet config.", file=self.path, next_step=next_step)
        if create_template(self.path):
            raise ConfigError(
                f"There was no fleet config, so the template was created at {self.path}.",
                next_step="Edit host, user and ssh_key in it, then call again.",
            )


@dataclass(frozen=True, slots=True)
class _Version:
    """Tells one state of a file from another."""

    modified_ns: int
    size: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> _Version:
        return cls(status.st_mtime_ns, status.st_size, status.st_ino)


def _read(path: Path) -> tuple[FleetConfig, _Version]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError("this is not a file; the fleet config is a JSON file.", file=path)
        with path.open("rb") as file:
            version = _Version.of(os.fstat(file.fileno()))
            data = file.read()
    except OSError as error:
        raise _unreadable(path, error) from error
    return _validated(_parsed(_decoded(data, path), path), path), version


def _decoded(data: bytes, path: Path) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError("this is not UTF-8 text.", file=path, line=line, next_step="Save it as UTF-8.") from None


def _parsed(text: str, path: Path) -> JsonSource:
    try:
        return JsonSource.parse(text)
    except JSONDecodeError as error:
        raise ConfigError(f"broken JSON in column {error.colno}: {error.msg}.", file=path, line=error.lineno) from None


def _validated(source: JsonSource, path: Path) -> FleetConfig:
    config, invalid = None, None
    try:
        config = FleetConfig.model_validate(source.value)
    except ValidationError as error:
        invalid = error
    problems = problems_in(source, invalid)
    if config is None or problems:
        raise config_error(path, problems)
    return config


def _unreadable(path: Path, error: OSError) -> ConfigError:
    return ConfigError(f"the fleet config can't be read: {error.strerror}.", file=path)
