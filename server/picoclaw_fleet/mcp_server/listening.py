"""Where a server listens: HOST:PORT, and the sockets for it."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from picoclaw_fleet.errors import UsageError

_PLACE = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[^:\[\]/\s]+)):(?P<port>[0-9]{1,5})")
_BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen.

    Attributes:
        addresses: The IP addresses.
        port: 0 for any that is free.
    """

    addresses: tuple[str, ...]
    port: int

    @classmethod
    def parse(cls, text: str) -> Place:
        """Reads HOST:PORT; HOST is a name or an address, an IPv6 one in brackets.

        Raises:
            UsageError: It is not of that form, or there is no such host.
        """
        form = _PLACE.fullmatch(text)
        if form is None or int(form["port"]) > 65_535:
            raise UsageError(f"{text!r} is not HOST:PORT.", next_step="Write 127.0.0.1:8000 or [::1]:8000.")
        try:
            found = socket.getaddrinfo(form["six"] or form["name"], None, type=socket.SOCK_STREAM)
        except OSError as error:
            raise UsageError(f"There is no host {form['six'] or form['name']!r} to listen on.") from error
        return cls(tuple(dict.fromkeys(str(address[0]) for *_, address in found)), int(form["port"]))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return all(ipaddress.ip_address(address).is_loopback for address in self.addresses)

    def listen(self) -> list[socket.socket]:
        """Opens the sockets.

        Raises:
            UsageError: There is no listening there.
        """
        sockets: list[socket.socket] = []
        port = self.port
        for address in self.addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            try:
                sockets.append(socket.create_server((address, port), family=family, backlog=_BACKLOG))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL and len(self.addresses) > 1:
                    # localhost stands for both kinds of address, even where there is only one.
                    continue
                for opened in sockets:
                    opened.close()
                raise UsageError(f"{address} port {port} can't be listened on: {error.strerror}.") from error
            # Connections inherit it. asyncio sets it only where a socket's protocol says TCP, and here it says 0.
            # Without it each answer waits 40 ms for the acknowledgement of its headers.
            sockets[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            port = sockets[0].getsockname()[1]
        if not sockets:
            raise UsageError(f"None of {', '.join(self.addresses)} is an address of this machine.")
        return sockets


def bound(sockets: Sequence[socket.socket]) -> list[tuple[str, int]]:
    """The addresses and ports of sockets."""
    return [one.getsockname()[:2] for one in sockets]
