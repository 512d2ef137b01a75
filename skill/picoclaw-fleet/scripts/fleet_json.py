#!/usr/bin/env python3
r"""JSON for the shell scripts: the fleet config, releases as GitHub's API describes them, PicoClaw's settings, rows.

    fleet_json.py hosts CONFIG                         a line per host: name, address, user, parted by \\x1f
    fleet_json.py host CONFIG HOST USER                what the config says about a host, a line per setting
    fleet_json.py asset RELEASE WANTED SYSTEM MACHINE  the asset for a machine, a line per property
    fleet_json.py settings VERSION FILE                writes PicoClaw's settings there, from the environment
    fleet_json.py rows                                 stdin: rows of `name=value` parted by \\x1f; stdout: JSON

Standard library only, Python 3.9 or newer. Exit status 1 with a message when the input is wrong.
"""

from __future__ import annotations

import difflib
import hashlib
import ipaddress
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, NoReturn, cast
from urllib.parse import urlsplit

Json = dict[str, Any]

SETTINGS = (
    *("user", "port", "ssh_key", "certificate", "key_passphrase_env", "jump", "host_key", "ssh_config_host"),
    *("known_hosts", "host_key_policy", "connect_timeout", "idle_timeout", "tags", "slots"),
    *("provider", "api_key_env", "model", "api_base", "env", "restrict_to_workspace"),
)
FLEET_SETTINGS = [*SETTINGS, "release_repo", "version", "github_api", "allow_unverified"]
HOST_SETTINGS = ["name", "host", "arch", *SETTINGS]
PARTS = ["hosts", "defaults", "http"]
"""Of the whole file; http is the server's alone."""

WHOLE_NUMBERS = ("port", "slots")
NUMBERS = ("connect_timeout", "idle_timeout")
TRUTHS = ("restrict_to_workspace", "allow_unverified")
OTHERS = ("tags", "env", "jump")

PROVIDER = "anthropic"
MODELS = {
    "anthropic": "claude-sonnet-4-6",
    "openai": "gpt-5.4",
    "openrouter": "anthropic/claude-sonnet-4.5",
}
"""The model for a provider when the config names none."""

MACHINES = {
    "x86_64": ("x86_64", "amd64"),
    "amd64": ("x86_64", "amd64"),
    "aarch64": ("arm64",),
    "arm64": ("arm64",),
    "armv8l": ("armv7", "armv6"),
    "armv7l": ("armv7", "armv6"),
    "armv6l": ("armv6",),
    "riscv64": ("riscv64",),
    "loongarch64": ("loong64",),
    "s390x": ("s390x",),
    "mipsle": ("mipsle",),
}
"""`uname -m` to the words in asset names, the best first: goreleaser's, then those of raw binaries."""


def main(arguments: list[str]) -> None:
    """Does what the first argument says."""
    command, *rest = arguments or [""]
    if command == "hosts":
        print_hosts(*rest)
    elif command == "host":
        print_host(*rest)
    elif command == "asset":
        print_asset(*rest)
    elif command == "settings":
        write_settings(*rest)
    elif command == "rows":
        print_rows()
    else:
        fail(__doc__ or "")


def fail(message: str) -> NoReturn:
    """Ends with a message."""
    sys.stderr.write(f"{message}\n")
    raise SystemExit(1)


def say(*lines: str) -> None:
    """Writes lines, none of which holds another."""
    for line in lines:
        sys.stdout.write(" ".join(line.splitlines()) + "\n")


# The fleet config


def load(path: str) -> Json:
    """The config, checked as far as these scripts rely on it."""
    try:
        loaded: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        fail(f"{path}: {error.strerror}")
    except json.JSONDecodeError as error:
        fail(f"{path}:{error.lineno}: {error.msg}")
    except UnicodeDecodeError:
        fail(f"{path}: it is not UTF-8")
    config = cast("Json", loaded if isinstance(loaded, dict) else {})
    if not isinstance(config.get("hosts"), list):
        fail(f"{path}: hosts: there has to be a list of hosts")
    check(path, "", config, PARTS)
    check(path, "defaults", config.setdefault("defaults", {}), FLEET_SETTINGS)
    names: list[str] = []
    for number, entry in enumerate(config["hosts"]):
        place = f"hosts[{number}]"
        check(path, place, entry, HOST_SETTINGS)
        for key in ("name", "host"):
            if not entry.get(key):
                fail(f"{path}: {place}.{key}: is missing")
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", entry["name"]):
            fail(f"{path}: {place}.name: may hold only letters, digits, '.', '_' and '-'")
        if entry["name"] in names:
            fail(f"{path}: {place}.name: {entry['name']} is there twice")
        names.append(entry["name"])
    return config


def check(path: str, place: str, entry: Any, known: list[str]) -> None:
    """Refuses unknown keys and values of the wrong type."""
    if not isinstance(entry, dict):
        fail(f"{path}: {place}: has to be an object")
    for key, value in cast("Json", entry).items():
        where = f"{path}: {place}.{key}" if place else f"{path}: {key}"
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            fail(f"{where}: there is no such key" + (f"; {near[0]} is meant?" if near else ""))
        if key in (*PARTS, *OTHERS):
            continue
        if key in TRUTHS:
            right = isinstance(value, bool)
        elif key in WHOLE_NUMBERS:
            right = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536
        elif key in NUMBERS:
            right = isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
        else:
            right = isinstance(value, str) and value.isprintable() and not value.startswith("-")
        if not right:
            fail(f"{where}: has a value that it can't have")


def print_hosts(path: str) -> None:
    """Lists the hosts in the config's order."""
    config = load(path)
    for entry in config["hosts"]:
        user = entry.get("user") or config["defaults"].get("user", "")
        say("\x1f".join([entry["name"], entry["host"], user]))


def print_host(path: str, host: str, user: str) -> None:
    """Says what the config has for a host, by its name or address; the defaults when it does not have it."""
    config = load(path)
    entry = find(config, host, user)
    own = over(config["defaults"], entry)
    if entry:
        say(f"address {own.get('ssh_config_host') or entry['host']}")
        if own.get("ssh_config_host"):
            say(f"ssh HostName={entry['host']}")
    if own.get("user"):
        say(f"user {own['user']}")
    print_ssh(config, own)
    for key in ("provider", "api_key_env", "model", "api_base", "slots", "release_repo", "version", "github_api"):
        if own.get(key):
            say(f"{key} {own[key]}")
    if own.get("api_base") and is_nearby(own["api_base"]):
        say("keyless yes")
    if own.get("allow_unverified"):
        say("allow_unverified yes")
    for name, value in own["env"].items():
        meant = resolved(path, name, value)
        say(f"env {name}={meant}", *([f"secret {meant}"] if meant != value else []))
    if "restrict_to_workspace" in own:
        say(f"env PICOCLAW_AGENTS_DEFAULTS_RESTRICT_TO_WORKSPACE={str(own['restrict_to_workspace']).lower()}")


def find(config: Json, host: str, user: str) -> Json:
    """The host of that name; else the first of that address where that user logs in; {} when there is none."""
    for entry in config["hosts"]:
        if host == entry["name"]:
            return entry
    for entry in config["hosts"]:
        login = entry.get("user") or config["defaults"].get("user", "")
        if host == entry["host"] and (not user or login in ("", user)):
            return entry
    return {}


def over(defaults: Json, entry: Json) -> Json:
    """The defaults with a host's own settings over them; a key goes to the provider that it was meant for only."""
    base = dict(defaults)
    if entry.get("provider") not in (None, defaults.get("provider", PROVIDER)):
        for key in ("api_key_env", "model", "api_base"):
            base.pop(key, None)
    return {**base, **entry, "env": {**defaults.get("env", {}), **entry.get("env", {})}}


def is_nearby(api_base: str) -> bool:
    """Whether it is a server on loopback or in a private network, which may want no key."""
    name = urlsplit(api_base).hostname or ""
    try:
        return ipaddress.ip_address(name).is_private
    except ValueError:
        return "." not in name or name.endswith((".local", ".lan", ".internal", ".localhost"))


def print_ssh(config: Json, own: Json) -> None:
    """Says the SSH options that the settings stand for."""
    if "port" in own:
        say(f"ssh Port={own['port']}")
    for key, option in (("ssh_key", "IdentityFile"), ("certificate", "CertificateFile")):
        if own.get(key):
            say(f'ssh {option}="{Path(own[key]).expanduser()}"')
    if own.get("host_key", "").startswith("SHA256:"):
        fail("host_key is a fingerprint, which ssh can't pin; write the key itself: ssh-ed25519 AAAA...")
    if own.get("host_key"):
        say(f"pin {own['host_key']}")
    elif own.get("known_hosts"):
        say(f'ssh UserKnownHostsFile="{Path(own["known_hosts"]).expanduser()}"')
    if own.get("host_key_policy") == "accept-new":
        say("ssh StrictHostKeyChecking=accept-new")
    if own.get("connect_timeout"):
        say(f"connect_timeout {max(1, round(own['connect_timeout']))}")
    jump = own.get("jump") or "none"
    hops: list[str] = cast("list[str]", jump) if isinstance(jump, list) else str(jump).split(",")
    if hops != ["none"]:
        say("ssh ProxyJump=" + ",".join(hop_address(config, hop) for hop in hops))


def hop_address(config: Json, hop: str) -> str:
    """A hop that is named after a host of the config, as user@host:port."""
    for entry in config["hosts"]:
        if entry["name"] == hop:
            own = over(config["defaults"], entry)
            user = f"{own['user']}@" if own.get("user") else ""
            port = f":{own['port']}" if "port" in own else ""
            return f"{user}{entry['host']}{port}"
    return hop


def resolved(path: str, name: str, value: str) -> str:
    """A value of `env`; `${NAME}` is taken from our own environment."""
    reference = re.fullmatch(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", value)
    if reference is None:
        return value
    if reference[1] not in os.environ:
        fail(f"{path}: env.{name}: refers to {reference[1]}, which is not set here")
    return os.environ[reference[1]]


# Releases


def print_asset(path: str, wanted: str, system: str, machine: str) -> None:
    """Says which asset of a release is for a machine; nothing when there is none, or when it is not for everybody."""
    try:
        release = json.loads(Path(path).read_bytes())
        assets: list[Json] = [one for one in release["assets"] if one.get("state", "uploaded") == "uploaded"]
        tag = str(release["tag_name"])
        unfinished = release.get("draft") or (wanted == "latest" and release.get("prerelease"))
    except (ValueError, KeyError, TypeError, AttributeError):
        fail("what it answered is not a release as GitHub describes one")
    if unfinished:
        return
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}", tag):
        fail("its release has a name that can't be one")
    by_name = {str(one["name"]): one for one in assets}
    checksums = [name for name in by_name if re.fullmatch(r"(picoclaw_.+_)?checksums\.txt|sha256sums(\.txt)?", name)]
    for name in asset_names(system, machine):
        if name in by_name:
            asset = by_name[name]
            digest = re.fullmatch(r"sha256:([0-9a-fA-F]{64})", str(asset.get("digest") or ""))
            say(f"tag {tag}", f"name {name}", f"size {int(asset['size'])}", f"url {asset['browser_download_url']}")
            say(f"digest {digest[1].lower()}" if digest else "digest ")
            say(f"checksums {by_name[checksums[0]]['browser_download_url']}" if checksums else "checksums ")
            return


def asset_names(system: str, machine: str) -> list[str]:
    """Every name that a build for such a machine may have, compared whole: `arm64` is not `arm`."""
    words = MACHINES.get(machine, ())
    title = {"Linux": "Linux", "Darwin": "Darwin", "FreeBSD": "Freebsd", "NetBSD": "Netbsd"}.get(system, "")
    names = [f"picoclaw_{title}_{word}.tar.gz" for word in words if title]
    for word in words if title else ():
        names += [f"picoclaw-{title.lower()}-{word}", f"picoclaw-{word}-{title.lower()}"]
        names += [f"picoclaw-{word}"] if title == "Linux" else []
    return names


# PicoClaw's settings


def write_settings(version: str, parcel: str) -> None:
    """Writes the settings for exactly this version, as install.sh takes them: none reads what another one writes.

    From the environment: PROVIDER, MODEL, API_BASE, API_KEY_ENV and the variable that it names, both empty for no key.
    """
    provider, api_base, variable = os.environ["PROVIDER"], os.environ["API_BASE"], os.environ["API_KEY_ENV"]
    key = os.environ[variable] if variable else ""
    model = os.environ["MODEL"] or ("" if api_base else MODELS.get(provider, ""))
    if not model:
        fail(f"there is no default model for {api_base or provider}; name one under model in the fleet config")
    files = settings(numbers(version), "openai" if api_base else provider, model, api_base, key)
    files["env"] = f"PROVIDER={provider}\n" + (f"{variable}={key}\n" if variable else "")
    content = b"".join(f"{name} {len(text.encode())}\n{text}".encode() for name, text in files.items()) + b"end 0\n"
    Path(parcel).write_bytes(f"{hashlib.sha256(content).hexdigest()}\n".encode() + content)


def settings(release: tuple[int, ...], protocol: str, model: str, api_base: str, key: str) -> dict[str, str]:
    """PicoClaw's own files, by name. The server's picoclaw_config.py writes the very same."""
    server = {"api_base": api_base} if api_base else {}
    if release < (0, 2, 0):
        provider = {"api_key": key or "none", **server}
        chosen = {"defaults": {"provider": protocol, "model": model}}
        return {"config.json": json.dumps({"agents": chosen, "providers": {protocol: provider}}) + "\n"}
    entry: Json = {"model_name": model, "model": f"{protocol}/{model}", **server}
    chosen = {"defaults": {"model_name": model}}
    if release < (0, 2, 4):
        entry.update({"api_key": key} if key else {})
        return {"config.json": json.dumps({"agents": chosen, "model_list": [entry]}) + "\n"}
    schema = 3 if release >= (0, 2, 7) else 2 if release >= (0, 2, 5) else 1
    config = {"version": schema, "agents": chosen, "model_list": [{**entry, "enabled": True}]}
    keys = json.dumps([key] if key else [])
    security = f"model_list:\n  {json.dumps(model + ':0')}:\n    api_keys: {keys}\n"
    return {"config.json": json.dumps(config) + "\n", ".security.yml": security}


def numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version; the newest of all for a build that has none."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(part) for part in match[1].split(".")) if match else (999,)


# Rows


def print_rows() -> None:
    """Makes the JSON of fleet-status.sh, with the field names of the tool fleet_status."""
    hosts: list[Json] = []
    for line in sys.stdin:
        row: Json = {}
        for field in line.rstrip("\n").split("\x1f"):
            name, _, value = field.partition("=")
            if value:
                row[name] = typed(name, value)
        hosts.append(row)
    ready = sum(row["picoclaw"] == "ready" for row in hosts)
    away = sum(not row["reachable"] for row in hosts)
    summary = f"{ready} of {len(hosts)} hosts are ready, {away} out of reach."
    say(json.dumps({"summary": summary, "hosts": hosts}, ensure_ascii=False))


def typed(name: str, value: str) -> Any:
    """A row's value as JSON has it."""
    if name == "reachable":
        return value == "yes"
    if name == "load":
        return float(value)
    return int(value) if name in ("memory_free_mb", "disk_free_mb", "running", "free_slots") else value


if __name__ == "__main__":
    main(sys.argv[1:])
