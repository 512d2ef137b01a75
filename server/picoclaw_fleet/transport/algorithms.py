"""Which algorithms are offered, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from asyncssh.encryption import get_encryption_algs
from asyncssh.kex import get_kex_algs
from asyncssh.mac import get_mac_algs
from asyncssh.public_key import get_public_key_algs


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of algorithm.

    Attributes:
        option: asyncssh's name for it.
        keyword: The name in ~/.ssh/config.
        defaults: What is offered when ~/.ssh/config is silent, best first.
        supported: All that asyncssh has.
    """

    option: str
    keyword: str
    defaults: tuple[str, ...]
    supported: Callable[[], Sequence[bytes]]

    def adjusted(self, wanted: str) -> tuple[str, ...]:
        """The algorithms to offer where ~/.ssh/config says `wanted`: a list, or one to add (+), remove (-), prefer (^).

        Names that asyncssh doesn't have are meant for ssh and passed over; the defaults stay when none is left.
        """
        if not wanted:
            return self.defaults
        sign, names = (wanted[0], wanted[1:]) if wanted[:1] in ("+", "-", "^") else ("", wanted)
        patterns = names.split(",")
        supported = [name.decode() for name in self.supported()]
        named = [name for pattern in patterns for name in supported if fnmatchcase(name, pattern)]
        if sign == "-":
            return tuple(name for name in self.defaults if name not in named)
        chosen = {"+": [*self.defaults, *named], "^": [*named, *self.defaults], "": named}[sign]
        return tuple(dict.fromkeys(chosen)) or self.defaults


HOST_KEYS = Kind(
    "server_host_key_algs",
    "HostKeyAlgorithms",
    # OpenSSH's order. asyncssh's own begins with RSA, and Dropbear 2022.83 without an RSA key then hangs up.
    (
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
        "rsa-sha2-512",
        "rsa-sha2-256",
    ),
    get_public_key_algs,
)

ALGORITHMS = (
    HOST_KEYS,
    Kind(
        "kex_algs",
        "KexAlgorithms",
        # No diffie-hellman-group-exchange: it computes for half a second in the event loop, and all hosts wait.
        (
            "curve25519-sha256",
            "curve25519-sha256@libssh.org",
            "ecdh-sha2-nistp256",
            "ecdh-sha2-nistp384",
            "ecdh-sha2-nistp521",
            "diffie-hellman-group14-sha256",
            "diffie-hellman-group16-sha512",
        ),
        get_kex_algs,
    ),
    Kind(
        "encryption_algs",
        "Ciphers",
        # chacha20 costs Python twice the time of AES-GCM.
        (
            "aes128-gcm@openssh.com",
            "aes256-gcm@openssh.com",
            "aes128-ctr",
            "aes192-ctr",
            "aes256-ctr",
            "chacha20-poly1305@openssh.com",
        ),
        get_encryption_algs,
    ),
    Kind(
        "mac_algs",
        "MACs",
        (
            "hmac-sha2-256-etm@openssh.com",
            "hmac-sha2-512-etm@openssh.com",
            "hmac-sha2-256",
            "hmac-sha2-512",
            "hmac-sha1-etm@openssh.com",
            "hmac-sha1",
        ),
        get_mac_algs,
    ),
)
