"""The way to a host: jump hosts, from the fleet config or from ~/.ssh/config."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.transport import faults
from picoclaw_fleet.transport.ssh_config import Settings

_LAST_PORT = 65535
_PLACE = re.compile(r"(?:ssh://)?(?:([^/]+)@)?(?:\[([^\]/]+)\]|([^:@/\[\]]+))(?::(\d{1,5}))?/?")

Resolve = Callable[[str], Host | None]


def next_hop(host: Host, settings: Settings, resolve: Resolve) -> Host | None:
    """The jump host through which `host` is reached, itself reached through those before it; None for no jump host.

    `jump` of the fleet config goes before ProxyJump of ~/.ssh/config, and "none" means none. In `jump`, the name of a
    fleet host is that host; anything else is [user@]host[:port] with the keys of the host behind it.

    Raises:
        HostError: unreachable when the text can't be understood.
    """
    text = host.jump or settings.proxy_jump
    if not text or text.lower() == "none":
        return None
    *before, last = (hop.strip() for hop in text.split(","))
    hop = (resolve(last) if host.jump else None) or _unlisted(host, last)
    if not before:
        return hop
    return replace(hop, name=f"{hop.name} (via {', '.join(before)})", jump=",".join(before), on_the_way=True)


def _unlisted(host: Host, text: str) -> Host:
    place = _PLACE.fullmatch(text)
    if place is None or int(place[4] or 0) > _LAST_PORT:
        raise faults.route_fault(host.name, f"its jump host {text!r} is not a name of a fleet host or user@host:port.")
    hop = replace(
        host,
        name=text,
        # As it is written: blocks of ~/.ssh/config tell Gate from gate.
        address=place[2] or place[3],
        port=int(place[4] or 0),
        user=place[1] or "",
        jump="",
        host_key="",
        ssh_config_host="",
        on_the_way=True,
    )
    # A hop that only ~/.ssh/config names gets its key from there too.
    return hop if host.jump else replace(hop, ssh_key=None, certificate=None, key_passphrase_env="")
