"""Addresses with no host behind them: some never speak, some never even answer, some refuse."""

from __future__ import annotations

import socket
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench.lab import PORT, Lab

_BACKLOG = 1024
_FILLING = 3
"""Connections that fill the queue of a listener without backlog: from then on the kernel drops what comes."""


@dataclass(frozen=True)
class DeadAddresses:
    """Where nobody is.

    Attributes:
        mute: Connections are made, and nothing is ever said on them.
        dropping: Nothing answers at all.
        refusing: Connections are refused at once.
    """

    mute: tuple[str, ...]
    dropping: tuple[str, ...]
    refusing: tuple[str, ...]

    @property
    def black_holes(self) -> tuple[str, ...]:
        """Those that only a timeout finds out."""
        return self.mute + self.dropping


@contextmanager
def dead_addresses(place: Lab, *, mute: int, dropping: int, refusing: int) -> Generator[DeadAddresses]:
    """So many addresses beside the lab's hosts are dead for as long as the context lasts."""
    net = ".".join(place.hosts[0].address.split(".")[:2])
    names = [f"{net}.200.{number + 1}" for number in range(mute + dropping + refusing)]
    dead = DeadAddresses(tuple(names[:mute]), tuple(names[mute : mute + dropping]), tuple(names[mute + dropping :]))
    with ExitStack() as stack:
        for address in dead.mute:
            stack.enter_context(_listener(address, _BACKLOG))
        for address in dead.dropping:
            stack.enter_context(_listener(address, 0))
            for _ in range(_FILLING):
                stack.enter_context(_caller(address))
        _verify(dead)
        yield dead


def _listener(address: str, backlog: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, PORT))
    listener.listen(backlog)
    return listener


def _caller(address: str) -> socket.socket:
    caller = socket.socket()
    caller.setblocking(False)
    caller.connect_ex((address, PORT))
    return caller


def _verify(dead: DeadAddresses) -> None:
    assert _all_end_with(None, dead.mute) and _all_end_with(TimeoutError, dead.dropping)
    assert _all_end_with(ConnectionRefusedError, dead.refusing)


def _all_end_with(expected: type[OSError] | None, addresses: Sequence[str]) -> bool:
    return all(_end_of_connecting(address) is expected for address in addresses)


def _end_of_connecting(address: str) -> type[OSError] | None:
    try:
        socket.create_connection((address, PORT), timeout=0.2).close()
    except OSError as error:
        return type(error)
    return None
