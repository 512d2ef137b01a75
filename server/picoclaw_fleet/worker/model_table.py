"""The model that each provider gets where the fleet config names none: the one place to look it up, or to change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Provider:
    """A model provider that PicoClaw knows by this name in all versions.

    Attributes:
        model: Its default model, as the provider spells it.
        usual_variable: The environment variable that usually holds its key; for advice, never read unasked.
    """

    model: str
    usual_variable: str


PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {
        "anthropic": Provider("claude-sonnet-4-6", "ANTHROPIC_API_KEY"),
        "openai": Provider("gpt-5.4", "OPENAI_API_KEY"),
        "openrouter": Provider("anthropic/claude-sonnet-4.5", "OPENROUTER_API_KEY"),
    }
)
"""Any other provider, and any OpenAI-compatible `api_base`, needs a `model` in the fleet config."""
