"""What we prove our identity with: key files, certificates and the agent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import asyncssh
from asyncssh.agent import SSHAgentClient
from asyncssh.public_key import CERT_TYPE_USER, SSHKeyPair, SSHOpenSSHCertificate

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.transport.files import FileCache
from picoclaw_fleet.transport.key_files import Identity, KeyFileError, read_identity, read_user_certificate
from picoclaw_fleet.transport.ssh_config import Settings

AGENT_SECONDS = 2
"""To say which keys it holds. One that hangs, as a forwarded one whose connection is dead, is done without."""
_USUAL_FILES = ("id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk")


class _Agent(SSHAgentClient):
    """The ssh-agent, which may ask a person for leave, or not answer at all.

    Args:
        path: Its socket.
        problems: Receives what it has been asked for and not done.
    """

    def __init__(self, path: str, problems: list[str]) -> None:
        super().__init__(path)
        self._problems = problems

    async def sign(self, key_blob: bytes, data: bytes, flags: int = 0) -> bytes:
        """Sign with one of its keys."""
        problem = "the ssh-agent did not sign with a key that the host takes; it may have asked for leave in vain"
        self._problems.append(problem)
        signature = await super().sign(key_blob, data, flags)
        self._problems.remove(problem)
        return signature


class Keyring:
    """All key files, each read and decrypted once per version. Blocks."""

    def __init__(self) -> None:
        self._identities: FileCache[tuple[Path, str], Identity | None] = FileCache()
        self._certificates: FileCache[Path, SSHOpenSSHCertificate] = FileCache()

    def credentials(self, host: Host, settings: Settings) -> Credentials:
        """What to show to a host.

        Raises:
            HostError: auth_failed when the key or certificate that the fleet config names can't be used.
        """
        problems: list[str] = []
        identities = tuple(self._read_identities(host, settings, problems))
        certificates = tuple(self._read_certificates(host, settings, problems))
        credentials = Credentials(
            identities, certificates, tuple(problems), settings.agent, not settings.identities_only
        )
        if host.certificate and host.ssh_key and not any(credentials.certified(identity) for identity in identities):
            raise _unusable(
                host,
                KeyFileError(
                    f"the certificate {host.certificate} was not issued for the key {host.ssh_key}",
                    "Name the key that belongs to it as ssh_key, or the right certificate.",
                ),
            )
        return credentials

    def _read_identities(self, host: Host, settings: Settings, problems: list[str]) -> Iterator[Identity]:
        usual = (Path("~/.ssh").expanduser() / name for name in _USUAL_FILES)
        env = host.key_passphrase_env
        for path in settings.identity_files or usual:
            try:
                identity = self._identities.get((path, env), lambda note, path=path: read_identity(path, env, note))
                if identity is None and settings.identity_files:
                    raise KeyFileError(
                        f"the key {path} does not exist", "Correct ssh_key in the fleet config, or make the key."
                    )
                if identity is not None and identity.key is None and not settings.agent:
                    raise KeyFileError(f"the key {identity.lack}", _way_to_key(identity))
            except KeyFileError as error:
                if host.ssh_key is not None:
                    raise _unusable(host, error) from error
                problems.append(str(error))
                continue
            if identity is not None:
                problems.extend(identity.problems)
                yield identity

    def _read_certificates(
        self, host: Host, settings: Settings, problems: list[str]
    ) -> Iterator[SSHOpenSSHCertificate]:
        for path in settings.certificate_files:
            try:
                yield self._certificates.get(path, lambda note, path=path: read_user_certificate(path, note))
            except KeyFileError as error:
                if host.certificate is not None:
                    raise _unusable(host, error) from error
                problems.append(str(error))


@dataclass(frozen=True, slots=True)
class Offer:
    """A key pair to show, and what to call it."""

    name: str
    pair: SSHKeyPair


@dataclass(frozen=True, slots=True)
class Credentials:
    """What may be shown to one host.

    Attributes:
        identities: The key files.
        certificates: Certificates for some of the keys, wherever those are.
        problems: Why other files are not among them.
        agent: The agent's socket, or "".
        whole_agent: Every key that the agent holds may be shown, not only those of `identities`.
    """

    identities: tuple[Identity, ...]
    certificates: tuple[SSHOpenSSHCertificate, ...]
    problems: tuple[str, ...]
    agent: str
    whole_agent: bool

    async def offers(self, until: AsyncExitStack, problems: list[str]) -> list[Offer]:
        """The key pairs to try, in order: the named files first, then what else the agent holds.

        Args:
            until: Keeps the connection to the agent, which signs, until the handshake is over.
            problems: Receives why something isn't among the offers.
        """
        problems.extend(self.problems)
        held: dict[bytes, SSHKeyPair] = {}
        if self.agent and (self.whole_agent or any(identity.key is None for identity in self.identities)):
            held = await self._held(until, problems)
        offers: list[Offer] = []
        for identity in self.identities:
            pair = held.pop(identity.public.public_data, None)
            offers.extend(self._from_file(identity, pair, problems))
        if self.whole_agent:
            offers.extend(self._from_agent(held.values()))
        return offers

    def certified(self, identity: Identity) -> SSHOpenSSHCertificate | None:
        """The certificate for a key, if there is one."""
        return self._certificate_for(identity.public.public_data) or identity.certificate

    def _certificate_for(self, public_data: bytes) -> SSHOpenSSHCertificate | None:
        return next((found for found in self.certificates if found.key.public_data == public_data), None)

    def _from_file(self, identity: Identity, held: SSHKeyPair | None, problems: list[str]) -> Iterator[Offer]:
        certificate = self.certified(identity)
        if certificate is not None:
            try:
                certificate.validate(CERT_TYPE_USER, None)
            except ValueError as error:
                problems.append(f"the certificate for {identity.path} can't be used: {error}")
                certificate = None
        if identity.key is not None:
            # Pairs are made for each handshake: asyncssh keeps in them what it agreed with the server.
            pairs = asyncssh.load_keypairs([(identity.key, certificate)] if certificate else [identity.key])
            yield from (Offer(_name(identity.path, pair), pair) for pair in pairs)
        elif held is None:
            problems.append(f"{identity.lack}, and the ssh-agent does not hold it")
        else:
            if certificate is not None:
                held.set_certificate(certificate)
            yield Offer(_name(identity.path, held), held)

    def _from_agent(self, held: Iterable[SSHKeyPair]) -> Iterator[Offer]:
        for pair in held:
            certificate = self._certificate_for(pair.public_data)
            if certificate is not None:
                pair.set_certificate(certificate)
            yield Offer(_name(pair.get_comment(errors="replace") or pair.get_algorithm(), pair), pair)

    async def _held(self, until: AsyncExitStack, problems: list[str]) -> dict[bytes, SSHKeyPair]:
        client = await until.enter_async_context(_Agent(self.agent, problems))
        try:
            async with asyncio.timeout(AGENT_SECONDS):
                return {pair.public_data: pair for pair in await client.get_keys()}
        except (ValueError, OSError) as error:
            why = str(error) or f"not within {AGENT_SECONDS} s"
            problems.append(f"the ssh-agent at {self.agent} does not answer ({why})")
            return {}


def _way_to_key(identity: Identity) -> str:
    name = "another key as ssh_key" if identity.on_token else "the private key as ssh_key"
    if identity.locked:
        name = "a variable that holds it as key_passphrase_env"
    return f"Name {name} in the fleet config, or add the key to an ssh-agent."


def _name(what: Path | str, pair: SSHKeyPair) -> str:
    held = " in the agent" if pair.get_key_type() == "agent" else ""
    return f"{what}{held}{' with its certificate' if pair.has_cert else ''}"


def _unusable(host: Host, error: KeyFileError) -> HostError:
    return HostError(f"{error}.", host=host.name, reason=Reason.AUTH_FAILED, next_step=error.next_step)
