"""Choosing the model, and asking it."""

from __future__ import annotations

import os
import time

from keys import plain_key
from plain_json import dumps, loads
from release import CREATING, FIRST, LATEST, PROCESSING, CommandError
from settings import config_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]


class Model:
    """The provider and the model that a run talks to."""

    def __init__(self, provider: str, name: str, api_base: str, key: str) -> None:
        self.provider = provider
        self.name = name
        self.api_base = api_base
        self.key = key


def choose_model(config: Json, wanted: str) -> Model:
    """Returns the model that settings and `--model` name; raises CommandError where it or its key is missing."""
    defaults = config["agents"]["defaults"]
    if FIRST:
        provider, name = defaults["provider"], defaults["model"]
        entry = config["providers"].get(provider, {})
        if not entry.get("api_key"):
            raise CommandError(f"no API key configured for model: {name}", CREATING)
        return Model(provider, name, entry.get("api_base", ""), entry["api_key"])
    wanted = wanted or defaults["model_name"]
    named = [entry for entry in config["model_list"] if entry.get("model_name") == wanted]
    if not named:
        detail = f'model "{wanted}" not found in model_list'
        raise CommandError(f"{detail}: {detail} or providers", CREATING)
    model = open_model(named[0])
    # The real one looks its id up once more, so an alias that differs from the id can end at another entry.
    again = [entry for entry in config["model_list"] if model.name in (entry.get("model_name"), entry.get("model"))]
    return open_model(again[0]) if LATEST and again else model


def open_model(entry: Json) -> Model:
    provider, slash, name = entry.get("model", "").partition("/")
    if not slash:
        provider, name = "openai", provider
    if LATEST and entry.get("provider"):  # then the prefix stays on the name
        provider, name = entry["provider"], entry.get("model", "")
    api_base = entry.get("api_base", "")
    key = plain_key(entry["api_keys"][0], config_path()) if entry.get("api_keys") else ""
    problem = f'failed to create provider for model "{entry.get("model_name")}": '
    if provider == "anthropic" and not key:
        raise CommandError(f"{problem}api_key is required for anthropic protocol (model: {entry['model']})", CREATING)
    if not key and not api_base:
        raise CommandError(f'{problem}api_key or api_base is required for HTTP-based protocol "{provider}"', CREATING)
    return Model(provider, name, api_base, key)


def ask_model(model: Model, messages: list[Json], retry_scale: float) -> str:
    """Posts a chat completion and returns its text; 0.2.9 asks twice more when the server can't be reached."""
    status, body = post(model, messages)
    for pause in (2, 4) if LATEST else ():
        if status == 0:
            time.sleep(pause * retry_scale)
            status, body = post(model, messages)
    if status != 200:
        raise llm_failure(status, body)
    return loads(body)["choices"][0]["message"].get("content") or ""


def post(model: Model, messages: list[Json]) -> tuple[int, str]:
    """Returns status and body of one request; status 0: no response, and the body says why."""
    from http.client import HTTPConnection, HTTPException

    address, _, path = model.api_base.partition("://")[2].partition("/")
    headers = {"Content-Type": "application/json"}
    if model.key:
        headers["Authorization"] = f"Bearer {model.key}"
    connection = HTTPConnection(address, timeout=120)
    try:
        request = dumps({"model": model.name, "messages": messages}).encode("utf-8", "replace")
        connection.request("POST", f"/{path.rstrip('/')}/chat/completions", request, headers)
        response = connection.getresponse()
        return response.status, response.read().decode("utf-8", "replace")
    except OSError as error:
        what = f"dial tcp {address}: connect: {os.strerror(error.errno or 0).lower()}"
        return 0, f'failed to send request: Post "{model.api_base}/chat/completions": {what}'
    except HTTPException:
        return 0, f'failed to send request: Post "{model.api_base}/chat/completions": EOF'
    finally:
        connection.close()


def llm_failure(status: int, body: str) -> CommandError:
    detail = f"API request failed:\n  Status: {status}\n  Body:   {body}" if status else body
    return CommandError(f"LLM call failed after retries: {detail}", PROCESSING)
