"""Host keys: what known_hosts and the fleet config say, the verdict on a key that a host offers, and trusting one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncssh
from asyncssh.known_hosts import SSHKnownHosts

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.transport.algorithms import HOST_KEYS
from picoclaw_fleet.transport.files import FileCache, Note
from picoclaw_fleet.transport.ssh_config import Settings

SSH_PORT = 22
OWN_FINGERPRINT = "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"


@dataclass(frozen=True, slots=True)
class HostKey:
    """A key that a host offers.

    Attributes:
        type: Such as ssh-ed25519.
        fingerprint: SHA256:..., as ssh-keygen -l prints it.
        text: Type and key in base64; may be pinned as `host_key` in the fleet config.
        line: The line for known_hosts.
        file: The known_hosts file that `trust` appends to.
        known: It is trusted already.
    """

    type: str
    fingerprint: str
    text: str
    line: str
    file: Path
    known: bool = False


def describe(key: asyncssh.SSHKey, settings: Settings, *, known: bool = False) -> HostKey:
    """The key as people see it."""
    text = " ".join(key.export_public_key("openssh").decode().split()[:2])
    line = f"{_name(settings)} {text}"
    return HostKey(text.split()[0], key.get_fingerprint(), text, line, settings.known_hosts[0], known)


def trust(key: HostKey) -> None:
    """Append the key to its known_hosts file, made with mode 0600 where it is missing. Blocks.

    One write with O_APPEND: no line is torn, whoever else appends at the same time. A line that is there stays alone.

    Raises:
        OSError: The file can't be written.
    """
    key.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(key.file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        before = file.readall()
        if key.line.encode() in before.splitlines():
            return
        separator = b"" if not before or before.endswith(b"\n") else b"\n"
        file.write(separator + key.line.encode() + b"\n")


class KnownHosts:
    """All known_hosts files, each parsed once per version. Blocks."""

    def __init__(self) -> None:
        self._files: FileCache[Path, _File] = FileCache()

    def about(self, host: Host, settings: Settings) -> Trust:
        """What is known about a host, ready to judge the key that it offers.

        Raises:
            HostError: host_key_unknown when a known_hosts file or the pinned key can't be read.
        """
        name = _name(settings)
        bare = settings.host_key_alias or settings.address.lower()
        try:
            if host.host_key:
                return Trust(host, settings, pinned=_pinned(host.host_key))
            exact = [self._file(path).match(name) for path in settings.known_hosts]
            # As ssh does: a key known for the name without the port is good for any port, but can't accuse another.
            loose = [self._file(path).match(bare) for path in settings.known_hosts] if name != bare else []
        except (OSError, ValueError) as error:
            raise HostError(
                f"its host key can't be checked: {error}.",
                host=host.name,
                reason=Reason.HOST_KEY_UNKNOWN,
                next_step="Mend the file or the host_key in the fleet config.",
            ) from error
        return Trust(
            host,
            settings,
            keys=frozenset(key for found in exact for key in found[0]),
            spare_keys=frozenset(key for found in loose for key in found[0]),
            authorities=frozenset(key for found in exact + loose for key in found[1]),
            revoked=frozenset(key for found in exact + loose for key in found[2]),
        )

    def _file(self, path: Path) -> _File:
        def read(note: Note) -> _File:
            note(path)
            return _File(path.read_text(errors="replace") if path.exists() else "")

        return self._files.get(path, read)


class _File:
    """One version of a known_hosts file."""

    def __init__(self, text: str) -> None:
        self._lines = _parse(text)
        # Where names are hashed, as on Debian, each line costs a hash: 8 ms for a thousand.
        self._found: dict[str, tuple[Sequence[asyncssh.SSHKey], ...]] = {}

    def match(self, name: str) -> tuple[Sequence[asyncssh.SSHKey], ...]:
        """The keys, authorities and revoked keys of a name."""
        if name not in self._found:
            self._found[name] = self._lines.match(name, "", None)[:3]
        return self._found[name]


@dataclass(frozen=True, slots=True)
class Trust:
    """Which keys a host may show.

    Attributes:
        host: The host.
        settings: How it is reached.
        keys: Known for exactly this name and port.
        spare_keys: Known for the name on its own.
        authorities: Certificate authorities for its host certificates.
        revoked: Never acceptable.
        pinned: The fleet config's key, or its fingerprint; then nothing else counts.
    """

    host: Host
    settings: Settings
    keys: frozenset[asyncssh.SSHKey] = frozenset()
    spare_keys: frozenset[asyncssh.SSHKey] = frozenset()
    authorities: frozenset[asyncssh.SSHKey] = frozenset()
    revoked: frozenset[asyncssh.SSHKey] = frozenset()
    pinned: asyncssh.SSHKey | str | None = None

    @property
    def algorithms(self) -> list[str]:
        """The host key algorithms to offer: those of known keys first, as ssh does, so that it shows one of them."""
        known = self.keys or self.spare_keys
        if isinstance(self.pinned, asyncssh.SSHKey):
            known = frozenset({self.pinned})
        familiar = {name.decode() for key in known for name in key.sig_algorithms}
        plain = sorted(self.settings.algorithms[HOST_KEYS.option], key=lambda name: name not in familiar)
        # Without a known authority a certificate is no use, and asyncssh would not fall back to the key inside it.
        certificates = [_certified(name) for name in HOST_KEYS.defaults] if self.authorities else []
        return certificates + plain

    def accepts(self, key: asyncssh.SSHKey) -> bool:
        """True when the key is one to talk to."""
        return self.knows(key) or self.accepts_new

    def knows(self, key: asyncssh.SSHKey) -> bool:
        """True when the key is the pinned one, or stands in known_hosts where none is pinned."""
        if isinstance(self.pinned, str):
            return key.get_fingerprint() == self.pinned
        if self.pinned is not None:
            return key == self.pinned
        return key in (self.keys or self.spare_keys)

    def contradicts(self, key: asyncssh.SSHKey) -> bool:
        """True when another key than this one is pinned, or known for exactly this name and port."""
        return (self.pinned is not None or bool(self.keys)) and not self.knows(key)

    @property
    def accepts_new(self) -> bool:
        """True when any key would do, because none is known and the policy says so."""
        return not self.keys and self.pinned is None and self.host.host_key_policy == "accept-new"

    def refusal(self, key: asyncssh.SSHKey) -> HostError:
        """Why the key is not accepted, with all that is needed to decide what to do. Blocks (it looks for the line)."""
        offered = describe(key, self.settings)
        if self.pinned is not None:
            return self._changed_from_pin(offered)
        if self.keys:
            return self._changed(offered)
        remedy = f"run: picoclaw-fleet trust {self.host.name}"
        if self.host.on_the_way:
            remedy = f"add this line to {offered.file}: {offered.line}"
        return HostError(
            f"its host key is not known: {_name(self.settings)} shows the {offered.type} key {offered.fingerprint}.",
            host=self.host.name,
            reason=Reason.HOST_KEY_UNKNOWN,
            next_step=f"Compare it with what the host says itself ({OWN_FINGERPRINT}), then {remedy}",
        )

    def _changed_from_pin(self, offered: HostKey) -> HostError:
        pinned = self.pinned.get_fingerprint() if isinstance(self.pinned, asyncssh.SSHKey) else self.pinned
        return HostError(
            f"its host key is not the pinned one: {_name(self.settings)} shows the {offered.type} key "
            f"{offered.fingerprint}, the fleet config pins {pinned}.",
            host=self.host.name,
            reason=Reason.HOST_KEY_CHANGED,
            next_step="Somebody may be in between, or the host was set up anew. If the new key is right, "
            "change host_key in the fleet config.",
        )

    def _changed(self, offered: HostKey) -> HostError:
        places = [f"{path}:{line} ({print_})" for path, line, print_ in self._known_lines()]
        return HostError(
            f"its host key has changed: {_name(self.settings)} shows the {offered.type} key {offered.fingerprint}, "
            f"known is {', '.join(places) or 'another'}.",
            host=self.host.name,
            reason=Reason.HOST_KEY_CHANGED,
            # Whatever was tried then says how the new key is trusted, also where the host is not in the config yet.
            next_step="Somebody may be in between, or the host was set up anew. Compare the new key with what the host "
            f"says itself ({OWN_FINGERPRINT}). If it is right, remove the old line and try again.",
        )

    def _known_lines(self) -> Iterator[tuple[Path, int, str]]:
        for path in self.settings.known_hosts:
            lines = path.read_text(errors="replace").splitlines() if path.exists() else []
            for number, line in enumerate(lines, start=1):
                for key in _parse(line).match(_name(self.settings), "", None)[0]:
                    yield path, number, key.get_fingerprint()


def _name(settings: Settings) -> str:
    """The name that known_hosts has for a host: an alias stands for itself, as in ssh."""
    if settings.host_key_alias:
        return settings.host_key_alias
    address = settings.address.lower()
    return address if settings.port == SSH_PORT else f"[{address}]:{settings.port}"


def _parse(text: str) -> SSHKnownHosts:
    known = SSHKnownHosts()
    try:
        known.load(text)
    except ValueError:
        # One bad line must not hide the others; ssh passes over it as well.
        known = SSHKnownHosts()
        for line in text.splitlines():
            _load_line(known, line)
    return known


def _load_line(known: SSHKnownHosts, line: str) -> None:
    try:
        known.load(line)
    except ValueError:
        return


def _pinned(text: str) -> asyncssh.SSHKey | str:
    return text.rstrip("=") if text.startswith("SHA256:") else asyncssh.import_public_key(text)


def _certified(name: str) -> str:
    stem, _, domain = name.partition("@")
    return f"{stem}-cert-v01@{domain or 'openssh.com'}"
