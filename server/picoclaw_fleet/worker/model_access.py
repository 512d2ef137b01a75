"""Which model a worker uses, and with which key: the fleet config, and PROVIDER and API_KEY_ENV before it."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.config.values import ENV_NAME
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.text.secret_shapes import looks_like_secret
from picoclaw_fleet.worker.model_table import PROVIDERS


@dataclass(frozen=True, slots=True)
class ModelAccess:
    """What PicoClaw needs to talk to a model.

    Attributes:
        provider: As PicoClaw names it.
        model: The id at the provider.
        api_base: The address of an OpenAI-compatible API; "" for the provider's own.
        variable: The name under which the key stands in the environment; "" where there is no key.
        key: The key; "" where none is needed.
    """

    provider: str
    model: str
    api_base: str
    variable: str
    key: str = field(repr=False)


def key_variable(host: Host) -> str:
    """The environment variable with the host's key, API_KEY_ENV before the config's; "" where none is named."""
    override = os.environ.get("API_KEY_ENV", "")
    if _names_a_variable(override):
        return override
    # The config's key was meant for the config's provider.
    return host.api_key_env if _provider(host) == host.provider else ""


def model_access(host: Host) -> ModelAccess:
    """Settles provider, model and key. Touches nothing but our own environment.

    A key may be missing only where `api_base` is a server on loopback or in a private network: such servers often want
    none, everybody else does.

    Raises:
        HostError: key_missing, naming the variable; not_ready, when there is no telling which model to use.
    """
    override = os.environ.get("API_KEY_ENV", "")
    if override and not _names_a_variable(override):
        # What it holds is not shown: it may be the key.
        raise HostError(
            "API_KEY_ENV does not hold the name of an environment variable.",
            host=host.name,
            reason=Reason.KEY_MISSING,
            next_step="Put the key into a variable of its own, and that variable's name into API_KEY_ENV.",
        )
    provider, variable = _provider(host), key_variable(host)
    same = provider == host.provider
    model, api_base = (host.model, host.api_base) if same else ("", "")
    key = os.environ.get(variable, "").strip() if variable else ""
    if not key and not (api_base and _is_nearby(api_base)):
        raise _key_missing(host, provider, variable)
    if not key.isprintable():
        raise HostError(
            f"the value of {variable} can't be a key: it holds control characters.",
            host=host.name,
            reason=Reason.KEY_MISSING,
            next_step=f"Set {variable} to the key alone.",
        )
    if not model and (api_base or provider not in PROVIDERS):
        what = "an api_base" if api_base else f"provider {provider}"
        raise HostError(
            f"with {what} there is no default model.",
            host=host.name,
            reason=Reason.NOT_READY,
            next_step="Set model in the fleet config.",
        )
    return ModelAccess(provider, model or PROVIDERS[provider].model, api_base, variable if key else "", key)


def _names_a_variable(text: str) -> bool:
    return re.fullmatch(ENV_NAME, text) is not None and not looks_like_secret(text)


def _provider(host: Host) -> str:
    return os.environ.get("PROVIDER", "") or host.provider


def _key_missing(host: Host, provider: str, variable: str) -> HostError:
    if variable:
        message, advice = (
            f"{variable} is not set here.",
            f"Set {variable} in the environment of this server to the key.",
        )
    else:
        usual = PROVIDERS[provider].usual_variable if provider in PROVIDERS else "MY_API_KEY"
        message = f"no variable is named that holds the key for {provider}."
        advice = f"Set api_key_env in the fleet config (or API_KEY_ENV), usually to {usual}."
    return HostError(message, host=host.name, reason=Reason.KEY_MISSING, next_step=advice)


def _is_nearby(api_base: str) -> bool:
    name = urlsplit(api_base).hostname or ""
    try:
        return ipaddress.ip_address(name).is_private
    except ValueError:
        return name == "localhost" or "." not in name or name.endswith((".local", ".lan", ".internal", ".localhost"))
