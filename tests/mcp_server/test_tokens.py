"""Making tokens, and knowing them again."""

from __future__ import annotations

import hmac
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.quick_start import quick_command

from picoclaw_fleet.bearer_token import digest_of, new_token
from picoclaw_fleet.caller import Caller
from picoclaw_fleet.config.file import ConfigSource
from picoclaw_fleet.errors import ConfigError
from picoclaw_fleet.mcp_server.tokens import Tokens
from picoclaw_fleet.text.secret_shapes import looks_like_secret

HOSTS = [{"name": "a", "host": "127.0.0.1"}]


def config(folder: Path, *tokens: dict[str, Any], **http: Any) -> ConfigSource:
    path = folder / "fleet.json"
    path.write_text(json.dumps({"hosts": HOSTS, "http": {"tokens": tokens, **http}}))
    return ConfigSource(path)


def entry(name: str, token: str, *scopes: str) -> dict[str, Any]:
    return {"name": name, "sha256": digest_of(token), "scopes": scopes}


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([quick_command(), "token", *arguments], capture_output=True, text=True, timeout=30)


def test_what_the_command_prints_lets_its_bearer_in(tmp_path: Path) -> None:
    made = command("ci", "--scope", "read", "--scope", "dispatch")
    assert made.returncode == 0, made.stderr
    token = made.stdout.strip()
    line = json.loads(made.stderr.strip().splitlines()[-1])
    assert (line["name"], line["scopes"]) == ("ci", ["read", "dispatch"])
    assert token not in made.stderr
    source = config(tmp_path, line)
    assert Tokens(source).caller(f"Bearer {token}") == Caller("ci", "dispatch")
    assert token not in source.path.read_text()


def test_the_command_makes_a_new_token_each_time_and_the_least_that_works_by_default() -> None:
    first, second = (json.loads(command("ci", "--json").stdout) for _ in range(2))
    assert first["token"] != second["token"]
    assert first["entry"] == entry("ci", first["token"], "dispatch") | {"scopes": ["dispatch"]}


@pytest.mark.parametrize("arguments", [("two words",), ("-x",), ("",), ("ci", "--scope", "root"), ()])
def test_the_command_refuses_names_and_scopes_that_cannot_be(arguments: tuple[str, ...]) -> None:
    made = command(*arguments)
    assert (made.returncode, made.stdout) == (2, "")


def test_tokens_are_long_random_and_known_for_secrets() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) >= 47 and looks_like_secret(token) for token in tokens)


def test_every_token_is_compared_whole_and_in_constant_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [new_token() for _ in range(5)]
    tokens = Tokens(config(tmp_path, *(entry(f"t{number}", token, "read") for number, token in enumerate(made))))
    compared: list[int] = []
    real = hmac.compare_digest

    def count(one: str, other: str) -> bool:
        compared.append(len(one))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", count)
    for token in (made[0], made[4], new_token()):
        compared.clear()
        tokens.caller(f"Bearer {token}")
        assert compared == [64] * 5


@pytest.mark.parametrize(
    ("scopes", "may"),
    [
        (["read"], {"read"}),
        (["dispatch"], {"read", "dispatch"}),
        (["admin"], {"read", "dispatch", "admin"}),
        (["admin", "read"], {"read", "dispatch", "admin"}),
    ],
)
def test_a_scope_includes_those_below_it(tmp_path: Path, scopes: list[str], may: set[str]) -> None:
    token = new_token()
    caller = Tokens(config(tmp_path, entry("t", token, *scopes))).caller(f"Bearer {token}")
    assert caller is not None
    assert {scope for scope in ("read", "dispatch", "admin") if caller.may(scope)} == may
    assert caller.owns_only == ("" if "admin" in may else "t")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"tokens": [{"name": "a", "sha256": "pcf_abc", "scopes": ["read"]}]}, "has to be the SHA-256 of a token"),
    ({"tokens": [{"name": "a", "sha256": "A" * 64, "scopes": ["read"]}]}, "has to be the SHA-256 of a token"),
    ({"tokens": [entry("a", "x", "root")]}, "has to be 'read', 'dispatch' or 'admin'"),
    ({"tokens": [entry("a", "x")]}, "http.tokens[0].scopes: "),
    ({"tokens": [entry("a", "x", "read"), entry("a", "y", "read")]}, "give each token a name of its own"),
    (
        {"tokens": [{**entry("a", "x", "read"), "token": "x"}]},
        "the token itself does not belong in this file, but its hash does",
    ),
    ({"tokens": [{**entry("a", "x", "read"), "scope": []}]}, "did you mean 'scopes'?"),
    ({"allowed_hosts": ["*"]}, "has to be a name or an address"),
    ({"allowed_origins": ["*"]}, "no wildcard"),
    ({"allowed_origin": []}, "did you mean 'allowed_origins'?"),
]


@pytest.mark.parametrize(("http", "said"), WRONG)
def test_a_wrong_http_section_is_explained(tmp_path: Path, http: dict[str, Any], said: str) -> None:
    path = tmp_path / "fleet.json"
    path.write_text(json.dumps({"hosts": HOSTS, "http": http}))
    with pytest.raises(ConfigError) as error:
        ConfigSource(path).current()
    assert said in str(error.value)
