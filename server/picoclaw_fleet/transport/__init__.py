"""SSH to the hosts, and nothing else: connections, commands, host keys. asyncssh lives here only."""

from __future__ import annotations

from .berths import Lane
from .command import Command, Completed
from .embedded import EmbeddedHost
from .host_keys import HostKey, trust
from .pool import Pool
from .upload import LocalFile, upload

__all__ = ["Command", "Completed", "EmbeddedHost", "HostKey", "Lane", "LocalFile", "Pool", "trust", "upload"]
