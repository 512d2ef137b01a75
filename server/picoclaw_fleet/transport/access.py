"""All that is needed to connect to a host, gathered from files once and again when they change."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import asyncssh

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import UsageError
from picoclaw_fleet.transport import faults
from picoclaw_fleet.transport.algorithms import ALGORITHMS, HOST_KEYS
from picoclaw_fleet.transport.credentials import Credentials, Keyring
from picoclaw_fleet.transport.files import FileCache
from picoclaw_fleet.transport.host_keys import KnownHosts, Trust
from picoclaw_fleet.transport.ssh_config import Settings, read_settings

KEEPALIVE_SECONDS = 15
KEEPALIVE_MISSED = 3
"""A peer that is gone is noticed after at most a minute."""

Endpoint = tuple[object, ...]


def endpoint(host: Host) -> Endpoint:
    """The values of a host that make a connection to it another one when they change."""
    return (
        host.name,
        host.address,
        host.port,
        host.user,
        host.ssh_key,
        host.certificate,
        host.key_passphrase_env,
        host.jump,
        host.host_key,
        host.ssh_config_host,
        host.known_hosts,
        host.host_key_policy,
    )


@dataclass(frozen=True, slots=True)
class Access:
    """How to get into one host."""

    settings: Settings
    credentials: Credentials
    trust: Trust

    @property
    def options(self) -> dict[str, object]:
        """Arguments for asyncssh.connect. Nothing in them makes it read a file or ask anybody."""
        settings = self.settings
        nothing: list[asyncssh.SSHKey] = []
        chosen: dict[str, object] = {
            kind.option: list(settings.algorithms[kind.option]) for kind in ALGORITHMS if kind is not HOST_KEYS
        }
        return chosen | {
            "config": None,
            "host": settings.address,
            "port": settings.port,
            "username": settings.user,
            "server_host_key_algs": self.trust.algorithms,
            "host_key_alias": settings.host_key_alias or None,
            # Which keys are good is our verdict, in Greeting; asyncssh refuses the revoked ones.
            "known_hosts": (nothing, nothing, list(self.trust.revoked)),
            "compression_algs": None,
            "preferred_auth": ["publickey"],
            # Ours come from Greeting, once the host is known to be the right one.
            "client_keys": None,
            "agent_path": None,
            "agent_forwarding": False,
            "x11_forwarding": False,
            "gss_host": None,
            "gss_kex": False,
            "gss_auth": False,
            "host_based_auth": False,
            "kbdint_auth": False,
            "password_auth": False,
            "x509_trusted_certs": None,
            "x509_trusted_cert_paths": nothing,
            "keepalive_interval": KEEPALIVE_SECONDS,
            "keepalive_count_max": KEEPALIVE_MISSED,
            # Our own clock runs from TCP to the end of authentication, and stands still while we wait for ourselves.
            "connect_timeout": None,
            "login_timeout": 0,
        }


class Accesses:
    """The accesses of all hosts. Blocks: for worker threads."""

    def __init__(self) -> None:
        self._settings: FileCache[Endpoint, Settings] = FileCache()
        self._keyring = Keyring()
        self._known_hosts = KnownHosts()
        # At INFO asyncssh prints each command, and at DEBUG what is sent.
        logging.getLogger("asyncssh").setLevel(logging.WARNING)

    def settings(self, host: Host) -> Settings:
        """How a host is to be reached.

        Raises:
            HostError: unreachable when ~/.ssh/config can't be used.
        """
        try:
            return self._settings.get(endpoint(host), lambda note: read_settings(host, note))
        except (OSError, ValueError) as error:
            raise faults.route_fault(host.name, f"~/.ssh/config can't be used: {error}.") from error
        except UsageError as error:
            raise faults.route_fault(host.name, f"~/.ssh/config can't be used: {error.message}") from error

    def get(self, host: Host) -> Access:
        """The access to a host, of the files as they are now.

        Raises:
            HostError: unreachable, auth_failed or host_key_unknown when one of them can't be used.
        """
        settings = self.settings(host)
        return Access(settings, self._keyring.credentials(host, settings), self._known_hosts.about(host, settings))
