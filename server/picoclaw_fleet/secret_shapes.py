"""What a literal secret looks like, and the names under which people write one."""

from __future__ import annotations

import re

_KEY = re.compile(
    r"""(?<![A-Za-z0-9]) (?:
        sk-[A-Za-z0-9_-]{8,}                   # Anthropic, OpenAI, OpenRouter, DeepSeek
      | sk_(?:live|test)_[A-Za-z0-9]{8,}       # Stripe
      | gh[opsur]_[A-Za-z0-9]{16,} | github_pat_[A-Za-z0-9_]{16,}
      | pcf_[A-Za-z0-9_-]{16,}                 # our own, for HTTP
      | glpat-[A-Za-z0-9_-]{16,}
      | gsk_[A-Za-z0-9]{16,}                   # Groq
      | xai-[A-Za-z0-9]{16,}
      | hf_[A-Za-z0-9]{16,}                    # Hugging Face
      | AIza[A-Za-z0-9_-]{30,}                 # Google
      | A[KS]IA[A-Z0-9]{16}                    # AWS
      | xox[abeprs]-[A-Za-z0-9-]{10,}          # Slack
      | eyJ[A-Za-z0-9_-]{10,}\.                # JSON web token
      | -----BEGIN\ [A-Z ]*PRIVATE\ KEY
    )""",
    re.VERBOSE,
)
_LONG_RUN = re.compile(r"[A-Za-z0-9]{20,}")
_WORD_OR_NUMBER = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_SECRET_NAME = re.compile(
    r"(?:^|.*[_-])(?:api[_-]?keys?|access[_-]?key|private[_-]?key|secret(?:[_-]?key)?|token|password|passwd|passphrase)",
    re.IGNORECASE,
)


def looks_like_secret(text: str) -> bool:
    """Says whether a text holds a key of a well-known shape, or a long random run."""
    return _KEY.search(text) is not None or any(_is_random(run) for run in _LONG_RUN.findall(text))


def names_a_secret(name: str) -> bool:
    """Says whether a key or variable of this name holds a secret: `api_key`, `DB_PASSWORD`, but not `MAX_TOKENS`."""
    return _SECRET_NAME.fullmatch(name) is not None


def _is_random(run: str) -> bool:
    """Random text changes between letters and digits all the time, names and words don't."""
    return any(character.isdigit() for character in run) and len(_WORD_OR_NUMBER.findall(run)) > len(run) // 3
