"""What a literal secret looks like, and the names under which people write one."""

from __future__ import annotations

import re

from picoclaw_fleet.bearer_token import PREFIX

KEY_SHAPES = {
    "sk-": r"[A-Za-z0-9_-]{16,200}",  # Anthropic, OpenAI, OpenRouter, DeepSeek
    **dict.fromkeys(("sk_live_", "sk_test_"), r"[A-Za-z0-9]{8,200}"),  # Stripe
    **dict.fromkeys(("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"), r"[A-Za-z0-9_]{16,200}"),  # GitHub
    PREFIX: r"[A-Za-z0-9_-]{16,200}",  # our own, for HTTP
    "glpat-": r"[A-Za-z0-9_-]{16,200}",  # GitLab
    **dict.fromkeys(("gsk_", "xai-", "hf_"), r"[A-Za-z0-9]{16,200}"),  # Groq, xAI, Hugging Face
    "xox": r"[abeprs]-[A-Za-z0-9-]{10,200}",  # Slack
    **dict.fromkeys(("AKIA", "ASIA"), r"[A-Z0-9]{16}"),  # AWS
    "AIza": r"[A-Za-z0-9_-]{30,200}",  # Google
}
"""How a key begins, and how it goes on as a regular expression."""

LONG_KEY_SHAPES = {
    "eyJ": r"[A-Za-z0-9_-]{10,500}+\.[A-Za-z0-9_-]{0,5000}(?:\.[A-Za-z0-9_-]{0,1500})?",  # JSON web token
    # Where a block has no end, what looks like its lines goes, and the text behind it stays.
    "-----BEGIN ": r"[A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?(?:-----)?(?:"
    r"(?:[^-]|-(?!----)){0,7500}-----END [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"|(?:(?:\s|\\[nr]){0,4}[A-Za-z0-9+/=]{16,76}){0,80})",
}
"""The same for those of more than LONGEST_KEY characters."""

LONGEST_KEY = 220
LONGEST_LONG_KEY = 8000

LONGEST_BEGINNING = 2
"""How many bytes before a key tell whether it stands at the beginning of a word."""


def _key(sign: str, rest: str) -> str:
    # A line end as JSON writes it, and the end of a colour, look like the letter of a word. What stands before the sign
    # is looked at behind it: for signs alone `re` searches five times as fast.
    return rf"{sign}(?:(?<![A-Za-z0-9]{sign})|(?<=\\[bfnrt]{sign})|(?<=[0-9;\[]m{sign})){rest}"


KEY = "|".join(_key(sign, rest) for sign, rest in (KEY_SHAPES | LONG_KEY_SHAPES).items())
"""Any of them. A key stands at the beginning of a word: `risk-management-framework` holds none."""

# In the midst of words, `disk-full`, and of base64: there are so many that what stands before them counts here, too.
_FREQUENT = ("sk-", "eyJ")

KEY_SIGN = "|".join(
    rf"(?-u:\b|[_bfmnrt]){sign}" if sign in _FREQUENT else sign for sign in KEY_SHAPES | LONG_KEY_SHAPES
)
"""How any of them begins, for Rust's engine, which can't look behind. Where this is not found there is no KEY."""

_KEY = re.compile(KEY)
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
