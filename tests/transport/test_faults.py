"""What is made of errors that are hard to bring about."""

from __future__ import annotations

import errno

import asyncssh
import pytest

from picoclaw_fleet.errors import Reason
from picoclaw_fleet.transport.faults import Attempt, Stage, lost


def attempt(stage: Stage = Stage.HANDSHAKE) -> Attempt:
    return Attempt("pi", "192.0.2.7:22", "me", 10, "ssh -v pi", stage=stage, greeted=True)


@pytest.mark.parametrize(
    ("error", "reason", "retryable"),
    [
        (OSError(errno.EMFILE, "Too many open files"), Reason.UNREACHABLE, True),
        (OSError(errno.EHOSTUNREACH, "No route to host"), Reason.UNREACHABLE, True),
        (TimeoutError(errno.ETIMEDOUT, "Connection timed out"), Reason.UNREACHABLE, True),
        (TimeoutError(), Reason.CONNECT_TIMEOUT, True),
        (asyncssh.MACError("MAC verification failed"), Reason.PROTOCOL_ERROR, False),
        (asyncssh.KeyExchangeFailed("Key exchange failed"), Reason.PROTOCOL_ERROR, False),
        (asyncssh.PermissionDenied("Permission denied"), Reason.AUTH_FAILED, False),
        (asyncssh.ProtocolError("Too many authentication failures"), Reason.AUTH_FAILED, False),
        (asyncssh.ConnectionLost("Connection lost"), Reason.PROTOCOL_ERROR, True),
        (ValueError("odd"), Reason.PROTOCOL_ERROR, False),
    ],
)
def test_each_error_has_its_reason_and_says_where_and_what_next(
    error: Exception, reason: Reason, retryable: bool
) -> None:
    fault = attempt(Stage.DIAL if isinstance(error, OSError) else Stage.HANDSHAKE).fault(error)

    assert (fault.host, fault.reason, fault.retryable) == ("pi", reason, retryable)
    assert "192.0.2.7:22" in fault.message
    assert fault.next_step


def test_too_many_open_files_are_called_by_their_name() -> None:
    fault = attempt(Stage.DIAL).fault(OSError(errno.EMFILE, "Too many open files"))

    assert "too many open files" in fault.message
    assert "ulimit -n" in fault.next_step


def test_what_a_host_says_can_neither_move_the_cursor_nor_flood_the_message() -> None:
    hostile = asyncssh.ProtocolError("\x1b[2J\r\nall is well\u202e" + "x" * 5000)

    for fault in (attempt().fault(hostile), lost("pi", hostile)):
        assert fault.message.isprintable()
        assert len(fault.message) < 500
