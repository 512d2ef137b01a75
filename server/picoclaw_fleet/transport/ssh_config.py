"""What ~/.ssh/config says about one host, read by asyncssh's own reader."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from asyncssh.config import SSHClientConfig, SSHConfig

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.config.values import expand_home
from picoclaw_fleet.transport.algorithms import ALGORITHMS
from picoclaw_fleet.transport.files import Note

_SYSTEM_KNOWN_HOSTS = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")


@dataclass(frozen=True, slots=True)
class Settings:
    """How to reach and greet a host: as the fleet config says, else ~/.ssh/config, else as ssh does by itself."""

    address: str
    port: int
    user: str
    identity_files: tuple[Path, ...]
    """The keys named for this host; empty: the usual files."""
    certificate_files: tuple[Path, ...]
    identities_only: bool
    """Only named keys may be offered, whatever else the agent holds."""
    agent: str
    """The agent's socket, or ""."""
    proxy_jump: str
    """ProxyJump of ~/.ssh/config, or ""; the fleet config's `jump` is not in here."""
    proxy_command: str
    host_key_alias: str
    known_hosts: tuple[Path, ...]
    """Where known keys are looked up; a new one is written to the first."""
    address_family: int
    bind_address: str
    algorithms: Mapping[str, tuple[str, ...]]
    """What to offer, best first, by the name of asyncssh's option."""


class _Reader(SSHClientConfig):
    """asyncssh's reader, which says which files it looks at."""

    def __init__(
        self,
        last_config: SSHConfig | None,
        reload: bool,
        canonical: bool,
        final: bool,
        note: Note,
        local_user: str,
        user: str | tuple[()],
        host: str,
        port: int | tuple[()],
    ) -> None:
        super().__init__(
            cast("SSHClientConfig", last_config),
            reload,
            canonical,
            final,
            local_user,
            cast("str", user),
            host,
            cast("int", port),
        )
        self._note = note

    def parse(self, path: Path) -> None:
        self._note(path)
        super().parse(path)


def read_settings(host: Host, note: Note) -> Settings:
    """Put together what the fleet config and ~/.ssh/config say about `host`. Blocks.

    Args:
        host: The host, with the fleet config's values.
        note: Told of each file that is read.

    Raises:
        ValueError: ~/.ssh/config can't be understood; the text names file and line.
        OSError: It can't be read.
        UsageError: A path in it begins with a home directory that is not known.
    """
    config = _read(host, note)
    address = host.address if host.ssh_config_host else _text(config, "Hostname", host.address)
    identity_files = (host.ssh_key,) if host.ssh_key else _paths(config, "IdentityFile")
    return Settings(
        address=address,
        port=host.port or cast("int", config.get("Port", 22)),
        user=host.user or _text(config, "User", getpass.getuser()),
        identity_files=identity_files,
        certificate_files=(host.certificate,) if host.certificate else _paths(config, "CertificateFile"),
        identities_only=host.ssh_key is not None or bool(config.get("IdentitiesOnly")),
        agent=_agent(config),
        proxy_jump=_text(config, "ProxyJump"),
        proxy_command=_text(config, "ProxyCommand"),
        host_key_alias=_text(config, "HostKeyAlias"),
        known_hosts=_known_hosts(host, config),
        address_family=cast("int", config.get("AddressFamily", 0)),
        bind_address=_text(config, "BindAddress"),
        algorithms=dict(_algorithms(config)),
    )


def _read(host: Host, note: Note) -> SSHConfig:
    path = expand_home("~/.ssh/config")
    note(path)
    paths = [path] if path.exists() else []
    who = getpass.getuser(), host.user or (), host.ssh_config_host or host.address, host.port or ()
    config = _Reader.load(None, paths, False, False, False, note, *who)
    if config.has_match_final():
        config = _Reader.load(None, paths, False, False, True, note, *who)
    return config


def _text(config: SSHConfig, option: str, default: str = "") -> str:
    return cast("str | None", config.get(option)) or default


def _paths(config: SSHConfig, option: str) -> tuple[Path, ...]:
    names = cast("list[str]", config.get(option, []))
    return tuple(expand_home(name) for name in names)


def _agent(config: SSHConfig) -> str:
    path = cast("str | None", config.get("IdentityAgent", "SSH_AUTH_SOCK"))
    if path is None:
        return ""
    if path == "SSH_AUTH_SOCK":
        return os.environ.get("SSH_AUTH_SOCK", "")
    return str(expand_home(path))


def _known_hosts(host: Host, config: SSHConfig) -> tuple[Path, ...]:
    if host.known_hosts:
        return (host.known_hosts,)
    # "none" and /dev/null would leave no place for a new key, and nothing to verify with.
    named = cast("list[str]", config.get("UserKnownHostsFile", []))
    user = [name for name in named if name != os.devnull] or ["~/.ssh/known_hosts"]
    system = cast("list[str]", config.get("GlobalKnownHostsFile", _SYSTEM_KNOWN_HOSTS))
    return tuple(expand_home(name) for name in (*user, *system))


def _algorithms(config: SSHConfig) -> Iterator[tuple[str, tuple[str, ...]]]:
    for kind in ALGORITHMS:
        yield kind.option, kind.adjusted(_text(config, kind.keyword))
