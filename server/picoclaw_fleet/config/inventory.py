"""The hosts of the fleet, and the selectors that pick some of them."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from picoclaw_fleet.config.model import (
    API_KEY_ENV,
    CONNECT_TIMEOUT,
    IDLE_TIMEOUT,
    PROVIDER,
    Defaults,
    FleetConfig,
    HostConfig,
)
from picoclaw_fleet.config.name_pattern import NamePattern, split_at_commas
from picoclaw_fleet.config.values import canonical_arch, expand_home
from picoclaw_fleet.errors import UsageError
from picoclaw_fleet.text.nearest import nearest

MOST_LISTED = 10
MOST_PATTERNS = 100
SELECTORS = "A selector is a name, tag:x, arch:arm64, all, a glob web*, a range web[1-3], or !x to leave out."


@dataclass(frozen=True, slots=True)
class Host:
    """A machine with the defaults already applied.

    Attributes:
        name: How the host is called in selectors, jobs and answers.
        address: Host name, IP address or ssh_config alias to connect to.
        port: SSH port; 0 when the fleet config names none (ssh_config or 22 decides).
        user: Login name; "" when the fleet config names none (ssh_config or the own login name decides).
        ssh_key: Private key file; None: ssh_config, the agent and the usual files decide.
        certificate: OpenSSH user certificate, or None.
        key_passphrase_env: Variable with the key's passphrase, or "".
        jump: Hops to go through, joined by ","; each the name of a host or user@host:port. "" without.
        host_key: Pinned public key or SHA256 fingerprint, or "".
        ssh_config_host: Alias to look up in ~/.ssh/config; "" means that `address` is looked up.
        known_hosts: File of trusted host keys; None: the usual ones.
        host_key_policy: What happens to a host whose key is not known.
        connect_timeout: Seconds from TCP connect to the end of authentication.
        idle_timeout: Seconds after which an unused connection is closed.
        arch: Architecture in its canonical spelling; "" when the config leaves it out.
        tags: Words to select by.
        slots: Jobs that may run at once; 0 when the config leaves it to the host's memory.
        provider: Model provider as PicoClaw names it.
        api_key_env: Variable with the provider's key, or "".
        model: Model id, or "".
        api_base: Address of the provider's API, or "".
        env: Environment for the worker, as written: a value `${NAME}` is not resolved yet.
        restrict_to_workspace: Whether PicoClaw's tools are confined; None when the config leaves it to PicoClaw.
        on_the_way: It is a jump host as some other host's way describes it, which no command can be given by name.
    """

    name: str
    address: str
    port: int
    user: str
    ssh_key: Path | None
    certificate: Path | None
    key_passphrase_env: str
    jump: str
    host_key: str
    ssh_config_host: str
    known_hosts: Path | None
    host_key_policy: Literal["strict", "accept-new"]
    connect_timeout: float
    idle_timeout: float
    arch: str
    tags: tuple[str, ...]
    slots: int
    provider: str
    api_key_env: str
    model: str
    api_base: str
    env: Mapping[str, str] = field(hash=False, repr=False)
    restrict_to_workspace: bool | None
    on_the_way: bool = False

    @classmethod
    def from_config(cls, entry: HostConfig, defaults: Defaults) -> Host:
        """Applies the defaults and expands ~ in paths.

        Raises:
            UsageError: A path begins with ~ and there is no telling what the home directory is.
        """
        settings = entry.over(defaults)
        provider = settings.provider or PROVIDER
        return cls(
            name=entry.name,
            address=entry.host,
            port=settings.port or 0,
            user=settings.user or "",
            ssh_key=_expanded(settings.ssh_key),
            certificate=_expanded(settings.certificate),
            key_passphrase_env=settings.key_passphrase_env or "",
            jump=_hops_before(entry, settings.jump),
            host_key=settings.host_key or "",
            ssh_config_host=settings.ssh_config_host or "",
            known_hosts=_expanded(settings.known_hosts),
            host_key_policy=settings.host_key_policy or "strict",
            connect_timeout=settings.connect_timeout or CONNECT_TIMEOUT,
            idle_timeout=settings.idle_timeout or IDLE_TIMEOUT,
            arch=entry.arch or "",
            tags=settings.tags or (),
            slots=settings.slots or 0,
            provider=provider,
            api_key_env=settings.api_key_env or (API_KEY_ENV if provider == PROVIDER else ""),
            model=settings.model or "",
            api_base=settings.api_base or "",
            env=MappingProxyType(settings.env),
            restrict_to_workspace=settings.restrict_to_workspace,
        )

    def by_hand(self, command: str) -> str:
        """The ssh command that a person may type to have this host run something."""
        port = ["-p", str(self.port)] * bool(self.port)
        key = ["-i", str(self.ssh_key)] * bool(self.ssh_key)
        login = f"{self.user}@" * bool(self.user)
        return shlex.join(["ssh", *port, *key, login + self.address, command])


class Inventory:
    """The hosts of the fleet in config order.

    Args:
        hosts: The hosts; each name once.

    Raises:
        UsageError: Two hosts have the same name.
    """

    def __init__(self, hosts: Iterable[Host]) -> None:
        self.hosts = tuple(hosts)
        self._by_name = {host.name: host for host in self.hosts}
        if len(self._by_name) < len(self.hosts):
            raise UsageError("Two hosts have the same name.", next_step="Give each host a name of its own.")

    @classmethod
    def from_config(cls, config: FleetConfig) -> Inventory:
        """Makes the hosts of a fleet config."""
        return cls(Host.from_config(entry, config.defaults) for entry in config.hosts)

    def get(self, name: str) -> Host:
        """Finds a host by its exact name.

        Raises:
            UsageError: No host is called that; the nearest names are in the text.
        """
        try:
            return self._by_name[name]
        except KeyError:
            hint = _hint(nearest(name, self._by_name), self._by_name)
            raise UsageError(f"No host is called {name[:80]!a}.", next_step=hint) from None

    def find(self, name: str) -> Host | None:
        """The host of that name; None when it isn't there."""
        return self._by_name.get(name)

    def select(self, selectors: Sequence[str]) -> tuple[Host, ...]:
        """Picks hosts.

        Args:
            selectors: Names, `tag:x`, `arch:arm64`, `all`, globs `web*`, ranges `web[1-3]` and `web[01-10]`, and `!x`
                to leave out what any of these picks. Commas separate selectors within one text. None at all means
                all hosts; nothing but `!x` means all others.

        Returns:
            The hosts in config order, each once; at least one.

        Raises:
            UsageError: A selector is malformed or matches nothing (the text has the nearest names), or none is left; or
                more of them than 100 are no names.
        """
        parts = list(dict.fromkeys(part for text in selectors for part in split_at_commas(text)))
        if selectors and not parts:
            raise UsageError("The selectors are empty.", next_step=SELECTORS)
        self.check_number(parts)
        wanted = [self._matching(part) for part in parts if not part.startswith("!")] or [set(self._by_name)]
        left_out = [self._matching(part[1:].strip()) for part in parts if part.startswith("!")]
        names = set[str]().union(*wanted).difference(*left_out)
        if not names:
            raise self._nothing_left()
        return tuple(host for host in self.hosts if host.name in names)

    def check_number(self, selectors: Iterable[str]) -> None:
        """Makes sure that comparing all names with these selectors keeps nobody waiting. Names alone may be many.

        Raises:
            UsageError: More than 100 of them are no names.
        """
        patterns = sum(selector not in self._by_name for selector in selectors)
        if patterns > MOST_PATTERNS:
            raise UsageError(
                f"{patterns:,} selectors are no names of hosts; more than {MOST_PATTERNS} are too many.",
                next_step="Give the hosts a tag in the fleet config, and select that.",
            )

    def _matching(self, selector: str) -> set[str]:
        if selector in self._by_name:
            return {selector}
        if selector == "all":
            return set(self._by_name)
        kind, _, value = selector.partition(":")
        if kind == "tag":
            names = {host.name for host in self.hosts if value in host.tags}
        elif kind == "arch":
            names = {host.name for host in self.hosts if host.arch and host.arch == canonical_arch(value)}
        else:
            pattern = NamePattern.parse(selector)
            names = {name for name in self._by_name if pattern.matches(name)}
        if not names:
            raise self._no_match(selector)
        return names

    def _no_match(self, selector: str) -> UsageError:
        known = {
            *self._by_name,
            *(f"tag:{tag}" for host in self.hosts for tag in host.tags),
            *(f"arch:{host.arch}" for host in self.hosts if host.arch),
        }
        meant = [host.name for host in self.hosts if host.address == selector] or nearest(selector, known)
        # What fleet_status shows is what the hosts say, which is not known of all of them.
        why = ": only the arch in the fleet config counts" if selector.startswith("arch:") else ""
        return UsageError(f"{selector[:80]!a} matches no host{why}.", next_step=f"{_hint(meant, known)} {SELECTORS}")

    def _nothing_left(self) -> UsageError:
        if not self.hosts:
            return UsageError("The fleet config has no hosts.", next_step="Add one under 'hosts'.")
        return UsageError("The selectors leave out every host that they pick.", next_step=SELECTORS)


def _hint(meant: Sequence[str], known: Collection[str]) -> str:
    if meant:
        return f"Did you mean {' or '.join(meant)}?"
    if not known:
        return "The fleet config has none."
    rest = len(known) - MOST_LISTED
    return f"Known are: {', '.join(sorted(known)[:MOST_LISTED])}" + (f" and {rest} more." if rest > 0 else ".")


def _expanded(path: str | None) -> Path | None:
    return expand_home(path) if path else None


def _hops_before(entry: HostConfig, jump: str | None) -> str:
    """The way to a host: it ends where the host itself stands among the hops, as a jump host in the defaults does."""
    if jump in (None, "none"):
        return ""
    return ",".join(itertools.takewhile(lambda hop: _hop_host(hop) not in (entry.name, entry.host), jump.split(",")))


def _hop_host(hop: str) -> str:
    target = hop.rpartition("@")[2]
    return target[1 : target.index("]")] if target.startswith("[") else target.partition(":")[0]
