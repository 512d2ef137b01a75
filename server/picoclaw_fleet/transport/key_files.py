"""Private keys and certificates in files, as ssh-keygen writes them."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import asyncssh
from asyncssh.pbe import KeyEncryptionError
from asyncssh.public_key import SSHOpenSSHCertificate

from picoclaw_fleet.transport.files import Note


class KeyFileError(Exception):
    """A key file, certificate or passphrase that can't be used.

    Args:
        problem: What is wrong, with the name of the file or variable.
        next_step: How to mend it.
    """

    def __init__(self, problem: str, next_step: str) -> None:
        super().__init__(problem)
        self.next_step = next_step


@dataclass(frozen=True, slots=True)
class Identity:
    """One key file.

    Attributes:
        path: The file.
        key: The private key; None when only an agent can sign.
        public: The public key.
        locked: The private key is there, behind a passphrase that we were not told.
        on_token: The private key is in a security key (FIDO), and the file only says which.
        certificate: The certificate that lies beside it.
        problems: Why what lies beside it is not used.
    """

    path: Path
    key: asyncssh.SSHKey | None
    public: asyncssh.SSHKey
    locked: bool = False
    on_token: bool = False
    certificate: SSHOpenSSHCertificate | None = None
    problems: tuple[str, ...] = ()

    @property
    def lack(self) -> str:
        """Why there is no private key, where there is none."""
        if self.on_token:
            return f"{self.path} is in a security key"
        return f"{self.path} {'is protected by a passphrase' if self.locked else 'holds no private key'}"


def read_identity(path: Path, passphrase_env: str, note: Note) -> Identity | None:
    """Read a private key, or a public one whose private half an agent holds.

    Args:
        path: The file; `.pub` and `-cert.pub` beside it are looked at as ssh does.
        passphrase_env: The variable with the passphrase, or "". Without it an encrypted key is left to the agent.
        note: Told of each file that counts.

    Returns:
        None when there is no such file.

    Raises:
        KeyFileError: It can't be used.
    """
    public_file, certificate_file = Path(f"{path}.pub"), Path(f"{path}-cert.pub")
    for file in (path, public_file, certificate_file):
        note(file)
    has_private = _exists(path)
    if not has_private and not _exists(public_file):
        return None
    key = _private(path, passphrase_env) if has_private else None
    public = key.convert_to_public() if key is not None else _public(path, public_file)
    locked = key is None and has_private and not _is_public(path.read_bytes())
    on_token = key is not None and key.algorithm.startswith(b"sk-")
    identity = Identity(path, None if on_token else key, public, locked, on_token)
    if not _exists(certificate_file):
        return identity
    try:
        certificate = read_user_certificate(certificate_file, note)
    except KeyFileError as error:
        return replace(identity, problems=(str(error),))
    if certificate.key.public_data != public.public_data:
        return replace(identity, problems=(f"the certificate {certificate_file} is for another key",))
    return replace(identity, certificate=certificate)


def read_user_certificate(path: Path, note: Note) -> SSHOpenSSHCertificate:
    """Read a certificate.

    Raises:
        KeyFileError: It can't be used.
    """
    note(path)
    try:
        return cast("SSHOpenSSHCertificate", asyncssh.read_certificate(path))
    except (OSError, asyncssh.KeyImportError) as error:
        raise KeyFileError(
            f"the certificate {path} can't be used: {_why(error)}", "Name a certificate as ssh-keygen -s makes them."
        ) from error


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise _unreadable(path, error) from error
    return True


def _private(path: Path, passphrase_env: str) -> asyncssh.SSHKey | None:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    if _is_public(data):
        return None
    try:
        return asyncssh.import_private_key(data)
    except (asyncssh.KeyImportError, KeyEncryptionError) as error:
        if not str(error).startswith("Passphrase must be specified"):
            raise KeyFileError(
                f"the key {path} can't be used: {error}", "Name a private key as ssh-keygen makes them."
            ) from error
    return _decrypted(path, data, passphrase_env) if passphrase_env else None


def _is_public(data: bytes) -> bool:
    return b"PRIVATE KEY" not in data and data.startswith((b"ssh-", b"ecdsa-", b"sk-"))


def _decrypted(path: Path, data: bytes, passphrase_env: str) -> asyncssh.SSHKey:
    mend = f"Set {passphrase_env} to the passphrase where this server is started."
    passphrase = os.environ.get(passphrase_env)
    if not passphrase:
        raise KeyFileError(
            f"the key {path} is protected by a passphrase, and the environment variable {passphrase_env} is not set",
            mend,
        )
    try:
        return asyncssh.import_private_key(data, passphrase)
    except (asyncssh.KeyImportError, KeyEncryptionError) as error:
        raise KeyFileError(
            f"the environment variable {passphrase_env} does not open the key {path}: {error}", mend
        ) from error


def _public(path: Path, beside: Path) -> asyncssh.SSHKey:
    for file in (path, beside):
        try:
            return asyncssh.read_public_key(file)
        except (OSError, asyncssh.KeyImportError):
            continue
    raise KeyFileError(
        f"the key {path} is protected by a passphrase, and {beside.name} is not beside it to find it in the ssh-agent",
        f"Name a variable with the passphrase as key_passphrase_env in the fleet config, or run: "
        f"ssh-keygen -y -f {path} > {beside}",
    )


def _unreadable(path: Path, error: OSError) -> KeyFileError:
    return KeyFileError(
        f"the key {path} can't be read: {_why(error)}",
        f"Make it readable for the user that runs this: chmod 600 {path}",
    )


def _why(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
