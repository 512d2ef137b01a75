"""Editing TOML of others: what is not ours stays as it is, to the line."""

from __future__ import annotations

from typing import Any

import pytest

from picoclaw_fleet.clients import toml_text

PATH = ("mcp_servers", "ours")
ENTRY: dict[str, Any] = {"command": "/bin/x", "args": [], "env_vars": ["A"]}
BLOCK = '[mcp_servers.ours]\ncommand = "/bin/x"\nargs = []\nenv_vars = ["A"]\n'

CASES = {
    "an empty text": ("", BLOCK),
    "others": (
        'model = "m" # mine\n\n[mcp_servers.b]\ncommand = "y"\n',
        f'model = "m" # mine\n\n[mcp_servers.b]\ncommand = "y"\n\n{BLOCK}',
    ),
    "no end of line": ("a = 1", f"a = 1\n\n{BLOCK}"),
    "tables in between": (
        '[mcp_servers.b]\ncommand = "y"\n[tui]\nx = 1\n[mcp_servers.c]\ncommand = "z"\n',
        f'[mcp_servers.b]\ncommand = "y"\n[tui]\nx = 1\n[mcp_servers.c]\ncommand = "z"\n\n{BLOCK}',
    ),
    "our entry with more in it": (
        """\
[mcp_servers.ours] # here
# slow
startup_timeout_sec = 60 # s
command = "old"
args = [
  "a",
  "[b]",
]

[tui]
x = 1
""",
        """\
[mcp_servers.ours] # here
# slow
startup_timeout_sec = 60 # s
command = "/bin/x"
args = []
env_vars = ["A"]

[tui]
x = 1
""",
    ),
    "lines of Windows": ("a = 1\r\n", "a = 1\r\n\r\n" + BLOCK.replace("\n", "\r\n")),
}


@pytest.mark.parametrize("case", CASES)
def test_an_entry_is_put_in_and_all_else_stays(case: str) -> None:
    before, after = CASES[case]
    changed = toml_text.merge(before, PATH, ENTRY)
    assert changed == after
    assert toml_text.merge(changed, PATH, ENTRY) == changed


@pytest.mark.parametrize(
    "before",
    [
        '[mcp_servers.ours]\ncommand = "/bin/x"\n\n[mcp_servers.ours.env]\nB = "2"\n\n[tui]\n',
        '[mcp_servers.ours]\ncommand = "/bin/x"\nenv = { B = "2" }\n',
    ],
)
def test_variables_of_others_in_our_entry_stay(before: str) -> None:
    changed = toml_text.merge(before, PATH, {"env": {"A": 'quoted "1"'}})
    assert toml_text.value_at(changed, (*PATH, "env")) == {"B": "2", "A": 'quoted "1"'}


@pytest.mark.parametrize(
    "text",
    [
        'mcp_servers = { b = { command = "y" } }\n',
        'mcp_servers.ours.command = "old"\n',
        "mcp_servers = 1\n",
        "not toml",
    ],
)
def test_what_can_not_be_edited_without_risk_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        toml_text.merge(text, PATH, ENTRY)


def test_a_text_that_looks_like_our_table_is_not_changed() -> None:
    with pytest.raises(ValueError, match="without risk"):
        toml_text.merge('note = """\n[mcp_servers.ours]\ncommand = "no"\n"""\n', PATH, ENTRY)
