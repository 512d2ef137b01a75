"""MCP clients: where each keeps its servers, what it needs to be told to start this one, and writing that there."""

from picoclaw_fleet.clients.client import Client
from picoclaw_fleet.clients.installation import Installation, install, installed_entry, snippet
from picoclaw_fleet.clients.known import CLIENTS, client_named
from picoclaw_fleet.clients.launch import Launch, launch_of

__all__ = [
    "CLIENTS",
    "Client",
    "Installation",
    "Launch",
    "client_named",
    "install",
    "installed_entry",
    "launch_of",
    "snippet",
]
