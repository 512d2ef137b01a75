"""The bearer tokens that a server accepts: those of the fleet config, as it is now."""

from __future__ import annotations

import hmac
import re

from picoclaw_fleet.bearer_token import digest_of
from picoclaw_fleet.caller import Caller
from picoclaw_fleet.config.file import ConfigSource
from picoclaw_fleet.config.model import HttpConfig
from picoclaw_fleet.errors import ConfigError

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]{16,256}=*)", re.IGNORECASE)
"""RFC 6750, section 2.1; whatever is not of that form is not even looked up."""


class Tokens:
    """Who may call. An edit of the config counts from the next request on.

    Args:
        source: The fleet config.
    """

    def __init__(self, source: ConfigSource) -> None:
        self._source = source
        self._needed = False

    @property
    def needed(self) -> bool:
        """Whether callers need one: from the first time on that there is one in the config."""
        self._needed = self._needed or bool(self._http().tokens)
        return self._needed

    def caller(self, authorization: str) -> Caller | None:
        """Who sends a request with this Authorization header; None for nobody who is known."""
        form = _BEARER.fullmatch(authorization)
        if form is None:
            return None
        digest = digest_of(form[1])
        # Each is compared whole and all are compared, so that the time taken tells nothing.
        known = [token for token in self._http().tokens if hmac.compare_digest(token.sha256, digest)]
        return Caller(known[0].name, known[0].scope) if known else None

    def _http(self) -> HttpConfig:
        try:
            return self._source.current().http
        except ConfigError:
            # A slip in the file must lock out nobody who was let in before it, and let in nobody else.
            assert self._source.last_good is not None
            return self._source.last_good.http
