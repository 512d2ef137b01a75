"""JSON by the part of `json` that is C: importing the rest takes as long as a whole run."""

from __future__ import annotations

import _json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Context:
    """How values are read: as `json` does."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int, parse_constant = float, int, float
    memo: dict[str, str] = {}  # noqa: RUF012


scan = _json.make_scanner(Context)  # type: ignore[attr-defined]
encode = _json.make_encoder(None, repr, _json.encode_basestring, None, ":", ",", False, False, True)  # type: ignore[attr-defined]


def loads(text: str) -> Any:
    try:
        value, end = scan(text, 0)
        if not text[end:].strip():
            return value
    except (StopIteration, SystemError, ValueError):
        pass
    # It says what is wrong.
    import json

    return json.loads(text)


def dumps(value: Any) -> str:
    """Writes a value in one line, letters of all languages as they are."""
    return "".join(encode(value, 0))
