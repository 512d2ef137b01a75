"""What the doctor finds."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from picoclaw_fleet.errors import FleetError


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    """Something doesn't work, or will not under some circumstances."""
    ERROR = "error"
    """Nothing works before it is mended, or nothing with that host."""


class Finding(BaseModel):
    """One thing that was looked at."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: Level
    check: str = Field(description="What was looked at: config, environment, keys, host_keys, ledger, clients, ...")
    host: str | None = Field(default=None, description="The host that it is about.")
    message: str = Field(description="What is the case.")
    next_step: str | None = Field(default=None, description="How to mend it.")

    @classmethod
    def of_error(cls, check: str, error: FleetError, *, host: str | None = None, level: Level = Level.ERROR) -> Finding:
        """What an error says."""
        message = error.message.removeprefix(f"{host}: ") if host else error.message
        return cls(level=level, check=check, host=host, message=message, next_step=error.next_step or None)


def ok(check: str, message: str, *, host: str | None = None) -> Finding:
    """All is well with it."""
    return Finding(level=Level.OK, check=check, host=host, message=message)


def warning(check: str, message: str, next_step: str, *, host: str | None = None) -> Finding:
    """It may make trouble."""
    return Finding(level=Level.WARNING, check=check, host=host, message=message, next_step=next_step)


def error(check: str, message: str, next_step: str, *, host: str | None = None) -> Finding:
    """It makes trouble."""
    return Finding(level=Level.ERROR, check=check, host=host, message=message, next_step=next_step)
