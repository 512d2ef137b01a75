from __future__ import annotations

import pytest

from picoclaw_fleet.text.secret_shapes import looks_like_secret, names_a_secret

# Put together here, so that no scanner takes this file for a leak.
SECRETS = [
    "sk-" + "ant-api03-" + "x" * 20,
    "sk-" + "proj-abcdefgh12345678",
    "ghp" + "_16C7e42F292c6912E7710c838347Ae178B4a",
    "github_pat" + "_11ABCDEFG0aBcDeFgHiJkLm",
    "gsk" + "_aBcDeFgHiJkLmNoPqRsTuVwX",
    "AIza" + "SyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "xoxb" + "-123456789012-abcdef",
    "eyJ" + "hbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.x",
    "-----BEGIN " + "OPENSSH PRIVATE KEY-----",
    "3f786850e387550fdab836ed7e6dc881de23001b",
    "wJ4lrXU3nF7MIK7DE5bPxRf2CYQ8zKEY",
    "Bearer sk-" + "abcdefgh12345678",
]
ORDINARY = [
    "",
    "ANTHROPIC_API_KEY",
    "MY_TEAMS_SECOND_ANTHROPIC_API_KEY_2026",
    "MyApiKeyForCluster2024",
    "claude-sonnet-4-5-20250929",
    "https://api.example.com/v1/chat/completions",
    "/srv/models2024/llama31/q4/instruct",
    "task-1234567890",
    "en_US.UTF-8",
    "192.168.100.200:8080",
    "internationalisation",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_key_looks_like_a_secret(text: str) -> None:
    assert looks_like_secret(text)


@pytest.mark.parametrize("text", ORDINARY)
def test_an_ordinary_value_does_not_look_like_a_secret(text: str) -> None:
    assert not looks_like_secret(text)


@pytest.mark.parametrize("name", ["api_key", "apiKey", "OPENAI_API_KEY", "api_keys", "token", "DB_PASSWORD", "secret"])
def test_a_name_for_a_secret_is_known(name: str) -> None:
    assert names_a_secret(name)


@pytest.mark.parametrize("name", ["ssh_key", "api_key_env", "host_key", "MAX_TOKENS", "TOKENIZER", "KEYBOARD", "prot"])
def test_a_name_for_something_else_is_left_alone(name: str) -> None:
    assert not names_a_secret(name)
