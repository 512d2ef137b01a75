"""config.json: where it is, its defaults, migration, strictness, and what the environment changes."""

from __future__ import annotations

import os
import time

from keys import attach_keys, numbered, security_path
from plain_json import loads
from release import FIRST, HOME, LATEST, LOADING, SCHEMA, CommandError
from streams import log, read_text, write_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

DEFAULT_LOG_LEVEL = "info" if FIRST else "warn" if LATEST else "fatal"
ENVIRONMENT = "PICOCLAW_AGENTS_DEFAULTS_"
BOOLEANS = {
    word: word[0] in "1tT" for word in ("1", "t", "T", "true", "TRUE", "True", "0", "f", "F", "false", "FALSE", "False")
}
KNOWN_FIELDS = {
    "": "version isolation agents session evolution channel_list model_list gateway events hooks tools heartbeat"
    " devices voice build_info",
    "agents.defaults.": "workspace restrict_to_workspace allow_read_outside_workspace provider model_name"
    " model_fallbacks image_model image_model_fallbacks max_tokens context_window temperature max_tool_iterations"
    " summarize_message_threshold summarize_token_percent max_media_size routing steering_mode max_parallel_turns"
    " subturn tool_feedback split_on_marker context_manager context_manager_config turn_profile max_llm_retries"
    " llm_retry_backoff_secs",
    "model_list.": "model_name provider model api_base proxy fallbacks auth_method connect_mode workspace rpm"
    " max_tokens_field request_timeout thinking_level tool_schema_transform streaming extra_body custom_headers"
    " api_keys enabled user_agent",
}


def picoclaw_home() -> str:
    return ("" if FIRST else os.environ.get("PICOCLAW_HOME", "")) or os.path.join(HOME, ".picoclaw")


def config_path() -> str:
    return ("" if FIRST else os.environ.get("PICOCLAW_CONFIG", "")) or os.path.join(picoclaw_home(), "config.json")


def workspace_of(config: Json) -> str:
    return os.path.join(HOME, config["agents"]["defaults"]["workspace"].removeprefix("~/"))


def default_config() -> Json:
    defaults: Json = {"workspace": os.path.join(picoclaw_home(), "workspace"), "restrict_to_workspace": True}
    if FIRST:
        providers = {name: {"api_key": "", "api_base": ""} for name in ("anthropic", "openai", "openrouter", "vllm")}
        return {"agents": {"defaults": {**defaults, "provider": "", "model": "glm-4.7"}}, "providers": providers}
    names = {
        "gpt-5.4": "openai/gpt-5.4",
        "claude-sonnet-4.6": "anthropic/claude-sonnet-4.6",
        "openrouter-gpt-5.4": "openrouter/openai/gpt-5.4",
    }
    models = [{"model_name": name, "model": model} for name, model in names.items()]
    return {"version": SCHEMA, "agents": {"defaults": {**defaults, "model_name": ""}}, "model_list": models}


def load_config() -> Json:
    """Reads the configuration, migrating older files; raises CommandError where the real one exits with status 1."""
    path, base = config_path(), default_config()
    if not os.path.exists(path):
        if not FIRST:
            log.write("warn", f"config file not found, using default config path={path}")
        return base
    config = {**base, **in_current_schema(path, parse(path))}
    given_defaults = config["agents"].get("defaults", {})
    config["agents"] = {**config["agents"], "defaults": {**base["agents"]["defaults"], **given_defaults}}
    apply_environment(config["agents"]["defaults"])
    return config


def log_level(config: Json) -> str:
    named = "" if FIRST else os.environ.get("PICOCLAW_LOG_LEVEL") or config.get("gateway", {}).get("log_level")
    return named or DEFAULT_LOG_LEVEL


def parse(path: str) -> Json:
    try:
        return loads(read_text(path))
    except ValueError as error:
        problem = "" if FIRST else "config.json syntax error at " if LATEST else "failed to detect config version: "
        if LATEST:
            log.write("error", f"Malformed config file: {problem}{error}")
        raise CommandError(f"{problem}{error}", LOADING) from None


def in_current_schema(path: str, config: Json) -> Json:
    """Returns the settings as this version has them, after rewriting the files of an older one."""
    if FIRST:
        return config
    if not config:
        log.write("warn", "content is [{}]")
        return config
    found = config.get("version", 0)
    if found > SCHEMA:
        raise CommandError(f"unsupported config version: {found}", LOADING)
    if found < SCHEMA:
        log.write("info", f"config migrate start from={found} to={SCHEMA}")
        migrate(config)
    config.setdefault("model_list", [])
    if LATEST:
        refuse_unknown_fields(config, migrated=found < SCHEMA)
    if found < SCHEMA:
        back_up(path)
    attach_keys(config["model_list"], path)
    if found < SCHEMA:
        if not LATEST:
            log.write("info", f"config migrate success from={found} to={SCHEMA}")
        save_config(path, config)
    return config


def migrate(config: Json) -> None:
    """Brings older settings into today's shape, with the real one's trap: 0.2.9 then refuses `providers`."""
    config["version"] = SCHEMA
    defaults = config.setdefault("agents", {}).setdefault("defaults", {})
    defaults.setdefault("model_name", defaults.pop("model", ""))
    if not LATEST:
        providers = config.pop("providers", {})
        entries = [
            {"model_name": name, "model": f"{name}/{defaults['model_name']}", **providers[name]} for name in providers
        ]
        config.setdefault("model_list", entries)
    elif "channels" in config:
        config["channel_list"] = config.pop("channels")
    for entry in config.get("model_list", []):
        entry["api_keys"] = entry.get("api_keys") or [key for key in [entry.pop("api_key", "")] if key]


def refuse_unknown_fields(config: Json, *, migrated: bool) -> None:
    """Knows what may stand in three places. The real one looks everywhere."""
    defaults = config.get("agents", {}).get("defaults", {})
    places = [("", "", config), ("agents.defaults.", "agents.defaults.", defaults)]
    places += [("model_list.", f"model_list[{index}].", entry) for index, entry in enumerate(config["model_list"])]
    unknown = {
        where + name for kind, where, fields in places for name in fields if name not in KNOWN_FIELDS[kind].split()
    }
    if unknown:
        detail = f"config.json contains unknown field(s): {', '.join(sorted(unknown))}"
        if not migrated:
            log.write("error", f"Failed to load config: {detail}")
        raise CommandError(detail, LOADING)


def back_up(path: str) -> None:
    """Leaves copies with the keys in plain text, as the real one does; 0.2.4 copies config.json alone."""
    if not LATEST:
        write_text(path + ".bak", read_text(path), 0o600)
        return
    for name in (path, security_path(path)):
        if os.path.exists(name):
            write_text(name + time.strftime(".%Y%m%d.bak"), read_text(name), 0o600)


def save_config(path: str, config: Json) -> None:
    """Writes config.json and, from 0.2.4 on, moves the keys to .security.yml."""
    if not FIRST:
        lines = ["model_list:"]
        for name, entry in numbered(config["model_list"]):
            keys = entry.get("api_keys")
            if keys:
                lines += [f"  {name}:", "    api_keys:", *(f"      - {key}" for key in keys)]
            elif LATEST:
                lines.append(f"  {name}: {{}}")
        write_text(security_path(path), "\n".join(lines if lines[1:] else ["model_list: {}"]) + "\n", 0o600)
        if not LATEST:
            log.write("info", f"saving config to {path}")
        bare = [{name: entry[name] for name in entry if name != "api_keys"} for entry in config["model_list"]]
        config = {**config, "model_list": bare}
    import json

    write_text(path, json.dumps(config, indent=2) + "\n", 0o600)


def apply_environment(defaults: Json) -> None:
    """Applies the variables that count where config.json exists; an empty one is the same as none."""
    for name in ["WORKSPACE", *(["PROVIDER", "MODEL"] if FIRST else ["MODEL_NAME"])]:
        defaults[name.lower()] = os.environ.get(ENVIRONMENT + name) or defaults.get(name.lower(), "")
    tools = [] if FIRST else [f"PICOCLAW_TOOLS_{tool}_ENABLED" for tool in ("MESSAGE", "SPAWN", "EXEC", "WEB")]
    for name in [ENVIRONMENT + "RESTRICT_TO_WORKSPACE", *tools]:
        value = os.environ.get(name, "")
        if value and value not in BOOLEANS:
            field = "Enabled" if name in tools else "RestrictToWorkspace"
            problem = f'parse error on field "{field}" of type "bool": strconv.ParseBool: parsing "{value}"'
            raise CommandError(f"env: {problem}: invalid syntax", LOADING)
        if value and name not in tools:
            defaults["restrict_to_workspace"] = BOOLEANS[value]
