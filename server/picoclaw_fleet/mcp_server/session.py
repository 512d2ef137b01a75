"""What one serving of MCP holds: the fleet, opened by the first call that needs it, and the audit log."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import anyio
from anyio import AsyncContextManagerMixin
from anyio.abc import TaskGroup, TaskStatus

from picoclaw_fleet.mcp_server.call import current

if TYPE_CHECKING:
    from picoclaw_fleet.fleet import Fleet
    from picoclaw_fleet.mcp_server.audit import AuditLog


class Session(AsyncContextManagerMixin):
    """Opens the fleet late: clients start servers to list their tools, twice at once, and give up after 5 s.

    Args:
        config: The fleet config's path; None for where it is looked for.
        audit: Where calls are told; None for nowhere.
        read_only: Whether nothing may be set going, whoever calls.
    """

    _tasks: TaskGroup

    def __init__(self, config: str | None = None, audit: AuditLog | None = None, *, read_only: bool = False) -> None:
        self.audit = audit
        self._read_only = read_only
        self._config = config
        self._fleet: Fleet | None = None
        self._opening = anyio.Lock()

    @asynccontextmanager
    async def __asynccontextmanager__(self) -> AsyncGenerator[Self]:
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            yield self
            tasks.cancel_scope.cancel()

    async def fleet(self) -> Fleet:
        """The fleet as the caller of the call under way may use it."""
        async with self._opening:
            fleet = self._fleet or await self._tasks.start(self._keep_open)
            self._fleet = fleet
        call = current()
        caller = replace(call.caller, scope="read") if self._read_only else call.caller
        return fleet.acting_for(caller, on_intake=call.note_jobs)

    async def _keep_open(self, *, task_status: TaskStatus[Fleet]) -> None:
        # asyncssh and what stands on it take 0.3 s to import, which a client that only lists tools need not wait for.
        from picoclaw_fleet.config.file import config_source
        from picoclaw_fleet.fleet import Fleet

        async with Fleet(config_source(self._config)) as fleet:
            task_status.started(fleet)
            await anyio.sleep_forever()
