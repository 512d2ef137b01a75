"""What asyncssh asks us during a handshake: is this key the host's, and which keys have we."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack

import asyncssh
from asyncssh.public_key import SSHKeyPair

from picoclaw_fleet.transport.access import Access
from picoclaw_fleet.transport.credentials import Offer
from picoclaw_fleet.transport.empty_messages import leave_out_empty_messages


class Greeting(asyncssh.SSHClient):
    """One handshake, and then the news that the connection is over.

    Attributes:
        refused: The host key that was not accepted.
        accepted_new: The host key that was accepted though it was not known.
        offered: The keys that were shown to the host, as text.
        problems: Why others were not.
        when_lost: Called when the connection is over.
    """

    def __init__(self, access: Access, until: AsyncExitStack) -> None:
        self._access = access
        self._until = until
        self._connection: asyncssh.SSHClientConnection | None = None
        self._offers: list[Offer] | None = None
        self.refused: asyncssh.SSHKey | None = None
        self.accepted_new: asyncssh.SSHKey | None = None
        self.offered: list[str] = []
        self.problems: list[str] = []
        self.when_lost: Callable[[], None] | None = None

    @property
    def received(self) -> bool:
        """True once the host has said that it speaks SSH."""
        return self._connection is not None and bool(self._connection.get_extra_info("server_version"))

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Take notice of the connection."""
        self._connection = conn
        leave_out_empty_messages(conn)

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Answer whether this is the host's key."""
        trust = self._access.trust
        if not trust.accepts(key):
            self.refused = key
            return False
        if trust.accepts_new and not trust.knows(key):
            self.accepted_new = key
        return True

    def validate_host_ca_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Answer whether this authority may vouch for the host."""
        return key in self._access.trust.authorities

    async def public_key_auth_requested(self) -> SSHKeyPair | None:
        """Answer which key to show next; None when there are no more."""
        if self._offers is None:
            self._offers = await self._access.credentials.offers(self._until, self.problems)
        if not self._offers:
            return None
        offer = self._offers.pop(0)
        self.offered.append(offer.name)
        return offer.pair

    def connection_lost(self, exc: Exception | None) -> None:
        """Take notice that it is over."""
        if self.when_lost is not None:
            self.when_lost()


class Look(Greeting):
    """A handshake that ends with the host's key in our hands, as one that was refused, whatever is known of it."""

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Take the key, and go no further."""
        self.refused = key
        return False
