"""Editing JSON of others: what is not ours stays as it is, to the character."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from picoclaw_fleet.clients import json_text
from picoclaw_fleet.clients.jsonc import SourceError, parse

PATH = ("mcpServers", "ours")
ENTRY: dict[str, Any] = {"command": "/bin/x", "args": []}

CASES = {
    "an empty text": (
        "",
        """\
{
  "mcpServers": {
    "ours": {
      "command": "/bin/x",
      "args": []
    }
  }
}
""",
    ),
    "others and comments": (
        """\
{
\t// mine
\t"a": 1, // one
\t"mcpServers": {
\t\t"b": {"command": "y"} /* last */
\t}
}
""",
        """\
{
\t// mine
\t"a": 1, // one
\t"mcpServers": {
\t\t"b": {"command": "y"}, /* last */
\t\t"ours": {
\t\t\t"command": "/bin/x",
\t\t\t"args": []
\t\t}
\t}
}
""",
    ),
    "trailing commas": (
        """\
{
    "mcpServers": {
        "b": {},
    },
}""",
        """\
{
    "mcpServers": {
        "b": {},
        "ours": {
            "command": "/bin/x",
            "args": []
        },
    },
}""",
    ),
    "one line": (
        '{"mcpServers": {"b": {}}}',
        '{"mcpServers": {"b": {}, "ours": {"command": "/bin/x", "args": []}}}',
    ),
    "only a comment inside": (
        """\
{
  "mcpServers": {
    // none yet
  }
}""",
        """\
{
  "mcpServers": {
    // none yet
    "ours": {
      "command": "/bin/x",
      "args": []
    }
  }
}""",
    ),
    "a mark at the beginning": (
        """\
\ufeff{
  "a": 1
}
""",
        """\
\ufeff{
  "a": 1,
  "mcpServers": {
    "ours": {
      "command": "/bin/x",
      "args": []
    }
  }
}
""",
    ),
    "JSON5": (
        """\
{
  mcpServers: { // here
    'b': { x: .5, y: +1, z: 0xff, },
  },
}
""",
        """\
{
  mcpServers: { // here
    'b': { x: .5, y: +1, z: 0xff, },
    "ours": {
      "command": "/bin/x",
      "args": []
    },
  },
}
""",
    ),
    "our entry with more in it": (
        """\
{
  "mcpServers": {
    "ours": {
      // slow
      "timeout": 9,
      "command": "/bin/old" // was
    }
  }
}""",
        """\
{
  "mcpServers": {
    "ours": {
      // slow
      "timeout": 9,
      "command": "/bin/x", // was
      "args": []
    }
  }
}""",
    ),
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("case", CASES)
def test_an_entry_is_put_in_and_all_else_stays(case: str, newline: str) -> None:
    before, after = (text.replace("\n", newline) for text in CASES[case])
    if newline not in before:
        after = CASES[case][1]
    changed = json_text.merge(before, PATH, ENTRY)
    assert changed == after
    assert json_text.merge(changed, PATH, ENTRY) == changed


def test_variables_of_others_in_our_entry_stay() -> None:
    before = '{"mcpServers": {"ours": {"command": "/bin/x", "args": [], "env": {"A": "1"}}}}'
    changed = json_text.merge(before, PATH, {**ENTRY, "env": {"B": "2"}})
    assert json_text.value_at(changed, (*PATH, "env")) == {"A": "1", "B": "2"}


def test_of_a_repeated_key_the_one_that_counts_is_changed() -> None:
    changed = json_text.merge('{"a": 1, "a": 2}', (), {"a": 3})
    assert changed == '{"a": 1, "a": 3}'


@pytest.mark.parametrize(
    ("text", "line"),
    [('{\n "a": ,\n}', 2), ("{\n\n", 3), ('{"a": 1} x', 1), ('{\n"a" 1}', 2), ('{"a": tru}', 1), ('{\n"a": "x\n', 3)],
)
def test_what_can_not_be_read_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(SourceError) as refused:
        json_text.merge(text, PATH, ENTRY)
    assert refused.value.line == line


@pytest.mark.parametrize("text", ["[]", '{"mcpServers": []}', '{"mcpServers": {"ours": "x"}}'])
def test_what_is_no_object_is_not_replaced(text: str) -> None:
    with pytest.raises(TypeError):
        json_text.merge(text, PATH, ENTRY)


def test_an_item_is_put_at_the_end_of_a_list() -> None:
    assert json_text.append('{"hosts": [\n  1, // one\n]}', ("hosts",), 2) == '{"hosts": [\n  1, // one\n  2,\n]}'
    assert json_text.append('{"hosts": []}', ("hosts",), 2) == '{"hosts": [\n  2\n]}'


_keys = st.text(string.ascii_letters + " é\U0001f99e\"\\/'", min_size=1, max_size=4)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=8,
)
_documents = st.dictionaries(_keys, _values, max_size=4)


@given(_documents, st.sampled_from([None, 1, 2, "\t"]), st.booleans())
def test_any_json_is_read_as_json_reads_it(
    document: dict[str, object], indent: int | str | None, escaped: bool
) -> None:
    assert parse(json.dumps(document, indent=indent, ensure_ascii=escaped)).value == document


@given(_documents, _keys, _values, st.sampled_from([None, 1, 2, "\t"]))
def test_whatever_is_set_is_there_and_nothing_else_changes(
    document: dict[str, object], key: str, value: object, indent: int | str | None
) -> None:
    text = json.dumps(document, indent=indent)
    # Objects are merged, not replaced, which other tests look at.
    if isinstance(value, dict) and isinstance(document.get(key), dict):
        return
    assert json.loads(json_text.merge(text, (), {key: value})) == {**document, key: value}
