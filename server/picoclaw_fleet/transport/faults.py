"""Every error of asyncssh and of the operating system, as a HostError: the only place that knows what they mean."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass, field
from enum import Enum

import asyncssh

from picoclaw_fleet.errors import HostError, Reason


class Stage(Enum):
    """How far a connection had come when it failed; the text completes "no ... within N s"."""

    DIAL = "TCP connection"
    BANNER = "SSH greeting"
    HANDSHAKE = "finished SSH handshake"


@dataclass(slots=True)
class Attempt:
    """One attempt to connect: what an error's text needs.

    Attributes:
        host: The host's name in the fleet config.
        place: Where it is looked for, such as 192.0.2.7:22.
        user: The login name.
        timeout: Seconds that it may take.
        by_hand: The command with which a person tries the same.
        stage: How far it has come.
        greeted: The host has said that it speaks SSH.
        by_command: A ProxyCommand is the way to it.
        offered: The keys that were shown, as text.
        problems: Why other keys were not.
    """

    host: str
    place: str
    user: str
    timeout: float
    by_hand: str
    stage: Stage = Stage.DIAL
    greeted: bool = False
    by_command: bool = False
    offered: list[str] = field(default_factory=list[str])
    problems: list[str] = field(default_factory=list[str])

    def fault(self, error: BaseException) -> HostError:
        """What `error` means for this attempt."""
        if isinstance(error, HostError):
            return error
        if isinstance(error, TimeoutError) and not _errno(error):
            return self._too_late()
        if isinstance(error, asyncssh.PermissionDenied) or "Too many authentication failures" in str(error):
            return self._refused_us(error)
        if isinstance(error, asyncssh.HostKeyNotVerifiable):
            return self._bad_host_key(error)
        if isinstance(error, (asyncssh.ConnectionLost, ConnectionError)) and self.stage is not Stage.DIAL:
            return self._hung_up(error)
        if isinstance(error, asyncssh.ChannelOpenError):
            return self._error(
                f"the jump host can't reach {self.place}: {_text(error)}.",
                Reason.UNREACHABLE,
                "Check the address and that the host is up.",
                retryable=True,
            )
        if isinstance(error, OSError):
            return self._no_way(error)
        return self._error(
            f"{self.place} and we can't agree on SSH: {_text(error)}.",
            Reason.PROTOCOL_ERROR,
            f"Look at what `{self.by_hand}` says.",
        )

    def _too_late(self) -> HostError:
        return self._error(
            f"no {self.stage.value} from {self.place} within {self.timeout:g} s{self._because()}.",
            Reason.CONNECT_TIMEOUT,
            "Check that the host is up and that no firewall drops the connection, or raise connect_timeout.",
            retryable=True,
        )

    def _refused_us(self, error: BaseException) -> HostError:
        shown = f"tried {', '.join(self.offered)}" if self.offered else "no key was offered"
        return self._error(
            f"{self.place} does not let user {self.user} in: {shown}{self._because()}.",
            Reason.AUTH_FAILED,
            "The host gave up after too many keys: name the right one as ssh_key in the fleet config."
            if "Too many" in str(error)
            else f"Add the public key to ~/.ssh/authorized_keys of {self.user} there, or name another user or ssh_key.",
        )

    def _bad_host_key(self, error: BaseException) -> HostError:
        if "revoked" in str(error):
            return self._error(
                f"{self.place} shows a host key that known_hosts marks as revoked.",
                Reason.HOST_KEY_CHANGED,
                "Don't connect before the host has a new key.",
            )
        return self._error(
            f"the host key of {self.place} can't be verified: {_text(error)}.",
            Reason.HOST_KEY_UNKNOWN,
            "Check the host's certificate and the @cert-authority line in known_hosts.",
        )

    def _hung_up(self, error: BaseException) -> HostError:
        if not self.greeted and self.by_command:
            return self._error(
                f"the ProxyCommand of ~/.ssh/config ended before {self.place} had said anything.",
                Reason.UNREACHABLE,
                f"Look at what `{self.by_hand}` says, and that the command is found with the PATH of this server.",
                retryable=True,
            )
        if not self.greeted:
            return self._error(
                f"{self.place} closed the connection before its SSH greeting.",
                Reason.UNREACHABLE,
                "It may be too busy (MaxStartups) or refuse this machine; try again, or look at its log.",
                retryable=True,
            )
        return self._error(
            f"{self.place} broke off the SSH handshake: {_text(error)}.",
            Reason.PROTOCOL_ERROR,
            "Try again; if it stays, look at the host's sshd log.",
            retryable=True,
        )

    def _no_way(self, error: OSError) -> HostError:
        if isinstance(error, socket.gaierror):
            return self._error(
                f"the name in {self.place} can't be resolved: {error.strerror}.",
                Reason.UNREACHABLE,
                "Check the address in the fleet config and the DNS.",
                retryable=error.errno == socket.EAI_AGAIN,
            )
        if error.errno in (errno.EMFILE, errno.ENFILE):
            return self._error(
                f"can't connect to {self.place}: this machine has too many open files.",
                Reason.UNREACHABLE,
                "Raise the limit (ulimit -n) for this server.",
                retryable=True,
            )
        advice = "Check the address and that the host is up."
        if isinstance(error, ConnectionRefusedError):
            advice = "Check the address and port, and that its SSH server runs."
        why = os.strerror(error.errno) if error.errno else _text(error)
        return self._error(f"can't reach {self.place}: {why}.", Reason.UNREACHABLE, advice, retryable=True)

    def _because(self) -> str:
        return f" ({'; '.join(self.problems)})" if self.problems else ""

    def _error(self, message: str, reason: Reason, next_step: str, *, retryable: bool = False) -> HostError:
        return HostError(message, host=self.host, reason=reason, retryable=retryable, next_step=next_step)


def lost(host: str, error: BaseException | None) -> HostError:
    """The channel of a running command is gone, and nothing is known of how the command ended."""
    cause = f": {_text(error)}" if error is not None else ""
    return HostError(
        f"the connection broke while a command ran{cause}.",
        host=host,
        reason=Reason.LOST_CONTACT,
        retryable=True,
        next_step="What was started may still run; ask again once the host is back.",
    )


def gone_before(host: str, error: BaseException | None) -> HostError:
    """The connection is gone, and nothing had been requested on it."""
    cause = f": {_text(error)}" if error is not None else ""
    return HostError(
        f"the connection broke before a command was requested{cause}.",
        host=host,
        reason=Reason.UNREACHABLE,
        retryable=True,
        next_step="Nothing was started; try again, and look at the host's sshd log if it stays.",
    )


def silent(host: str, timeout: float) -> HostError:
    """The host doesn't open a channel on a connection that seems to be up."""
    return HostError(
        f"no answer on its connection within {timeout:g} s.",
        host=host,
        reason=Reason.CONNECT_TIMEOUT,
        retryable=True,
        next_step="Check that the host is up; nothing was started.",
    )


def refused(host: str, error: asyncssh.ChannelOpenError) -> HostError:
    """The host won't run a command although nothing else runs on the connection."""
    return HostError(
        f"its SSH server refuses to run a command: {_text(error)}.",
        host=host,
        reason=Reason.PROTOCOL_ERROR,
        next_step="Check MaxSessions and ForceCommand in its sshd_config, and that it is not out of processes.",
    )


def gone(error: BaseException) -> bool:
    """True when `error` says that the connection is no more."""
    return isinstance(error, (asyncssh.DisconnectError, ConnectionError, BrokenPipeError)) or (
        isinstance(error, asyncssh.ChannelOpenError) and error.reason == "SSH connection closed"
    )


def closed(host: str) -> HostError:
    """We ourselves are closing."""
    return HostError("all connections are being closed.", host=host, reason=Reason.UNREACHABLE, retryable=True)


def route_fault(host: str, problem: str) -> HostError:
    """There is no way to the host, whatever the network does."""
    return HostError(
        problem, host=host, reason=Reason.UNREACHABLE, next_step="Correct `jump` in the fleet config, or ~/.ssh/config."
    )


def behind(host: str, error: HostError) -> HostError:
    """A host can't be reached since its jump host can't."""
    return HostError(
        f"jump host {error.message}",
        host=host,
        reason=error.reason,
        retryable=error.retryable,
        next_step=error.next_step,
    )


def _errno(error: BaseException) -> int | None:
    return error.errno if isinstance(error, OSError) else None


def _text(error: BaseException) -> str:
    """The error in one line, without what a hostile host might put in to look like something else."""
    words = str(error) or type(error).__name__
    return "".join(letter if letter.isprintable() else " " for letter in words)[:300].rstrip(". ")
