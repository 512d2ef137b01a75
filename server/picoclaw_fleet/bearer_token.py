"""Bearer tokens: made once and shown once; what is kept of them is a hash. And how much they may allow."""

from __future__ import annotations

import hashlib
import secrets
from typing import Literal

Scope = Literal["read", "dispatch", "admin"]
"""read: look. dispatch: give work to ready hosts too. admin: deploy, tear down, see everyone's jobs too."""

SCOPES: tuple[Scope, ...] = ("read", "dispatch", "admin")
"""Each includes those before it."""

PREFIX = "pcf_"
"""Lets secret scanners, and our own redaction, know a token when they see one."""


def new_token() -> str:
    """A token with 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def digest_of(token: str) -> str:
    """What the fleet config holds of a token: its SHA-256 in hexadecimal.

    A slow hash guards passwords, which can be guessed; 256 random bits can't.
    """
    return hashlib.sha256(token.encode()).hexdigest()
