"""SSH to the hosts, and nothing else: connections, commands, host keys. asyncssh lives here only."""

from __future__ import annotations

from picoclaw_fleet.transport.berths import Lane
from picoclaw_fleet.transport.command import Command
from picoclaw_fleet.transport.embedded import EmbeddedHost
from picoclaw_fleet.transport.host_keys import trust
from picoclaw_fleet.transport.pool import Pool
from picoclaw_fleet.transport.upload import LocalFile, upload

__all__ = ["Command", "EmbeddedHost", "Lane", "LocalFile", "Pool", "trust", "upload"]
