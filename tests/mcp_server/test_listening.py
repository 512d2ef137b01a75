"""Where a server listens."""

from __future__ import annotations

import socket

import pytest

from picoclaw_fleet.errors import UsageError
from picoclaw_fleet.mcp_server.listening import Place, bound


@pytest.mark.parametrize("text", ["127.0.0.1:0", "[::1]:0", "localhost:0"])
def test_an_answer_is_sent_at_once_and_not_when_its_headers_are_acknowledged(text: str) -> None:
    place = Place.parse(text)
    listening = place.listen()
    assert place.is_loopback
    for one in listening:
        with one, socket.create_connection(one.getsockname()[:2]):
            accepted, _ = one.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_all_addresses_of_a_name_have_the_same_port() -> None:
    place = Place(("127.0.0.1", "127.0.0.2", "203.0.113.9"), 0)
    listening = place.listen()
    assert [address for address, _ in bound(listening)] == ["127.0.0.1", "127.0.0.2"]
    assert len({port for _, port in bound(listening)}) == 1
    assert not place.is_loopback
    with pytest.raises(UsageError, match=r"127\.0\.0\.2 port \d+ can't be listened on"):
        Place(("127.0.0.3", "127.0.0.2"), bound(listening)[0][1]).listen()
    for one in listening:
        one.close()


@pytest.mark.parametrize(
    "text", ["", ":80", "127.0.0.1", "127.0.0.1:65536", "a b:80", "[::1:80", "http://a:80", "a:b:80"]
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not HOST:PORT"):
        Place.parse(text)


def test_a_name_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="There is no host 'no-such-host"):
        Place.parse("no-such-host.invalid:80")


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(UsageError, match="can't be listened on"):
        Place.parse("203.0.113.9:0").listen()
