"""The canary: the first host of its kind shows whether a release works before the others are touched."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.worker.install import Installed, OwnersSettingsError

CONDEMNING = frozenset({Reason.NOT_READY, Reason.CHECKSUM_MISMATCH})
"""What speaks against the release. Whatever else befalls a canary, such as a full disk, makes the next host one."""


class Canary:
    """One release for one kind of machine, among the hosts of one deploy.

    Args:
        force: Nobody waits for a canary.
    """

    def __init__(self, *, force: bool) -> None:
        self._safe = force
        self._failed = ""
        self._first = anyio.Lock()

    async def after(self, host: Host, work: Callable[[], Awaitable[Installed]]) -> Installed:
        """Does the work at a host: at once if the release has proved itself, else alone.

        Raises:
            HostError: canary_failed, the host is untouched; or what the work raises.
        """
        if not self._safe:
            async with self._first:
                if self._failed:
                    raise self._not_touched(host)
                if not self._safe:
                    return await self._go_first(host, work)
        return await work()

    async def _go_first(self, host: Host, work: Callable[[], Awaitable[Installed]]) -> Installed:
        try:
            installed = await work()
        except HostError as error:
            if error.reason in CONDEMNING and not isinstance(error, OwnersSettingsError):
                self._failed = host.name
            raise
        self._safe = True
        return installed

    def _not_touched(self, host: Host) -> HostError:
        return HostError(
            f"it was not touched, since the deploy on {self._failed}, which went first, failed.",
            host=host.name,
            reason=Reason.CANARY_FAILED,
            next_step=f"See why it failed on {self._failed}; force deploys to the others all the same.",
        )
