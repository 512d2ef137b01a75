"""Jobs as rows of the ledger, and back.

Which hosts a job may go to is stored once for all jobs with the same choice: ten thousand tasks for a thousand hosts
would otherwise repeat a thousand names ten thousand times.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any

from picoclaw_fleet.errors import Reason, State
from picoclaw_fleet.jobs.model import Job

_GIVEN = ("job_id", "batch_id", "owner", "origin", "task", "timeout_seconds", "created_at")
_CHANGING = (
    "holder",
    "host",
    "address",
    "sent",
    "state",
    "reason",
    "message",
    "next_step",
    "started_at",
    "finished_at",
    "duration_seconds",
    "exit_code",
    "signal",
    "files",
    "notes",
    "stop_wanted",
    "told",
    "on_host",
    "output_bytes",
)
_AS_JSON = frozenset({"files", "notes"})
_AS_TIME = frozenset({"created_at", "started_at", "finished_at"})
_AS_BOOL = frozenset({"sent", "stop_wanted", "told", "on_host"})

_STORED = (*_GIVEN, "choice", *_CHANGING)

SELECT = f"SELECT {', '.join((*_GIVEN, *_CHANGING))}, hosts FROM jobs JOIN choices ON choice = digest "  # noqa: S608
INSERT = f"INSERT INTO jobs ({', '.join(_STORED)}) VALUES ({', '.join(f':{column}' for column in _STORED)})"  # noqa: S608
# What another process has wished or shown meanwhile is not taken back.
_ONLY_RAISED = frozenset({"stop_wanted", "told"})
_SETTINGS = (f"max({name}, :{name})" if name in _ONLY_RAISED else f":{name}" for name in _CHANGING)
_ASSIGNMENTS = ", ".join(f"{name} = {value}" for name, value in zip(_CHANGING, _SETTINGS, strict=True))
# Whoever has lost a job to another process, without knowing it yet, does not write over what that one has found out.
UPDATE = f"UPDATE jobs SET {_ASSIGNMENTS} WHERE job_id = :job_id AND holder = :writer"  # noqa: S608
INSERT_CHOICE = "INSERT OR IGNORE INTO choices (digest, hosts) VALUES (?, ?)"


def row_of(job: Job) -> dict[str, Any]:
    """The job as values for INSERT."""
    return {**_stored(job, (*_GIVEN, *_CHANGING)), "choice": _digest(job.hosts)}


def change_of(job: Job, writer: str) -> dict[str, Any]:
    """What may have changed of a job, as values for UPDATE by the holder of that name."""
    return {**_stored(job, _CHANGING), "job_id": job.job_id, "writer": writer}


def choices_of(jobs: Iterable[Job]) -> list[tuple[str, str]]:
    """The choices of hosts that jobs refer to, each once, as values for INSERT_CHOICE."""
    return [(_digest(hosts), json.dumps(hosts)) for hosts in {job.hosts for job in jobs}]


def job_of(row: tuple[Any, ...]) -> Job:
    """The job of a row that SELECT gave."""
    *values, hosts = row
    stored = zip((*_GIVEN, *_CHANGING), values, strict=True)
    return Job(hosts=tuple(json.loads(hosts)), **{column: _loaded(column, value) for column, value in stored})


@lru_cache(maxsize=1024)
def _digest(hosts: tuple[str, ...]) -> str:
    return hashlib.sha256(json.dumps(hosts).encode()).hexdigest()[:24]


def _stored(job: Job, columns: Iterable[str]) -> dict[str, Any]:
    values = {column: getattr(job, column) for column in columns}
    for column in _AS_JSON & values.keys():
        values[column] = json.dumps(values[column])
    for column in _AS_TIME & values.keys():
        values[column] = values[column].isoformat() if values[column] else None
    return values


def _loaded(column: str, value: Any) -> Any:
    if column in _AS_JSON:
        return tuple(json.loads(value))
    if column in _AS_TIME:
        return datetime.fromisoformat(value) if value else None
    if column in _AS_BOOL:
        return bool(value)
    if column == "state":
        return State(value)
    if column == "reason":
        return Reason(value) if value else None
    return value
