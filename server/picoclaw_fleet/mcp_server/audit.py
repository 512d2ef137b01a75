"""The audit log: who did what, a line of JSON for each call of a tool and each reading of a resource."""

from __future__ import annotations

import getpass
import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from picoclaw_fleet.errors import FleetError, UsageError
from picoclaw_fleet.mcp_server.call import Call

logger = logging.getLogger(__name__)

_LONGEST_URI = 200
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class AuditError(FleetError):
    """What is done could not be written down, so nothing is done."""


class AuditLog:
    """A file that only ever grows; several processes may share it.

    Each line has `time` (RFC 3339, UTC), `token` or `user`, `tool`, `hosts`, `job_ids`, `outcome` (done, asked,
    refused, denied, cancelled, broken), and `batch_id` or `resource` where there is one. Rotate it with
    whatever rotates your logs: it is opened for each line.

    Args:
        file: The file; made with mode 0600, as are its folders.
        tasks: Whether to tell the text of tasks as well, without what looks like a key.

    Raises:
        UsageError: It can't be written to.
    """

    def __init__(self, file: Path, *, tasks: bool = False) -> None:
        self._file = file
        self._tasks = tasks
        self._user = _login_name()
        self._unwritten = b""
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._append(b"")
        except OSError as error:
            raise UsageError(
                f"The audit log {file} can't be written: {error.strerror}.", next_step="Name another file with --audit."
            ) from error

    async def ready(self) -> None:
        """Makes sure that what is going to be done can be told.

        Raises:
            AuditError: An earlier line could not be written, and still can't be.
        """
        if self._unwritten:
            await self._write(b"")
        if self._unwritten:
            raise AuditError(
                "Nothing was done: the server's audit log can't be written.", next_step="Tell its operator."
            )

    async def note(self, call: Call) -> None:
        """Adds the line of a call that is over; it is written even if the client has left."""
        line = json.dumps(self._entry(call)).encode() + b"\n"
        with anyio.CancelScope(shield=True):
            await self._write(line)

    def _entry(self, call: Call) -> dict[str, Any]:
        who = {"token": call.caller.name} if call.caller.name else {"user": self._user}
        entry: dict[str, Any] = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            **who,
            "tool": call.tool,
            "hosts": call.hosts,
            "job_ids": call.job_ids,
            "outcome": call.outcome,
        }
        if call.batch_id:
            entry["batch_id"] = call.batch_id
        if call.resource:
            entry["resource"] = call.resource[:_LONGEST_URI]
        if self._tasks and call.tasks:
            # Servers without this option need not wait for its patterns to be compiled.
            from picoclaw_fleet.text.redaction import Redactor

            entry["tasks"] = [Redactor(()).redact(task) for task in call.tasks]
        return entry

    async def _write(self, line: bytes) -> None:
        lines, self._unwritten = self._unwritten + line, b""
        try:
            await anyio.to_thread.run_sync(self._append, lines)
        except OSError as error:
            self._unwritten = lines + self._unwritten
            logger.error("The audit log %s can't be written: %s", self._file, error)

    def _append(self, lines: bytes) -> None:
        file = os.open(self._file, _FLAGS, 0o600)
        try:
            # One write, so that the lines of several processes don't run into each other.
            if os.write(file, lines) != len(lines):
                raise OSError("only a part was written")
        finally:
            os.close(file)


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # Containers often run as a number that has no name.
        return str(os.getuid())
