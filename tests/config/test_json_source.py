from __future__ import annotations

import json
from json import JSONDecodeError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from picoclaw_fleet.config.json_source import JsonSource

DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(DOCUMENTS, st.sampled_from([None, 0, 2]))
def test_a_document_reads_as_the_standard_library_reads_it(document: object, indent: int | None) -> None:
    text = json.dumps(document, indent=indent)
    source = JsonSource.parse(text)
    assert source.value == json.loads(text)
    assert source.repeated == ()


@given(st.text() | st.text(alphabet='{}[]":,01-.eE \n\\tfn'))
def test_what_the_standard_library_refuses_is_refused_and_nothing_else_is_raised(text: str) -> None:
    try:
        expected = json.loads(text, parse_constant=refuse)
    except ValueError:
        with pytest.raises(JSONDecodeError):
            JsonSource.parse(text)
    else:
        assert JsonSource.parse(text).value == expected


def refuse(word: str) -> object:
    raise ValueError(word)


def test_each_key_and_each_item_has_the_line_it_stands_on() -> None:
    text = '\n{"a": 1,\n "b": [10,\n  {"c":\n   true}, []],\r\n "d": {}}'
    assert JsonSource.parse(text).lines == {
        (): 2,
        ("a",): 2,
        ("b",): 3,
        ("b", 0): 3,
        ("b", 1): 4,
        ("b", 1, "c"): 4,
        ("b", 2): 5,
        ("d",): 6,
    }


def test_a_path_that_is_not_there_has_the_line_of_what_should_hold_it() -> None:
    source = JsonSource.parse('{\n "hosts": [\n  {}\n ]\n}')
    assert source.line(("hosts", 0, "name")) == 3
    assert source.line(("defaults", "port")) == 1


def test_a_repeated_key_is_told_with_the_line_of_the_later_one() -> None:
    source = JsonSource.parse('{"a": {"b": 1,\n "c": 2,\n "b": 3},\n "b": 4}')
    assert source.repeated == ((("a", "b"), 3),)


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("", 1, 1, "a value was expected, not the end of the file"),
        ('{\n "a": 1\n "b": 2}', 3, 2, "a comma or } was expected, not '\"'"),
        ('{\n "a": 1,\n}', 3, 1, "a key in double quotes was expected, not '}'"),
        ("{\n 'a': 1}", 2, 2, 'a key in double quotes was expected, not "\'"'),
        ('{"a" 1}', 1, 6, "a colon was expected, not '1'"),
        ("[1\n 2]", 2, 2, "a comma or ] was expected, not '2'"),
        ("[1] 2", 1, 5, "the end of the file was expected, not '2'"),
        ("{\n // hosts\n}", 2, 2, "JSON has no comments; remove this one"),
        ("[1, # one\n]", 1, 5, "JSON has no comments; remove this one"),
        ("[NaN]", 1, 2, "this number can't be used"),
        ("[" + "9" * 5000 + "]", 1, 2, "this number can't be used"),
        ("[" * 100_000, 1, 21, "nested more than 20 deep"),
    ],
)
def test_broken_json_is_told_with_its_place(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(JSONDecodeError) as caught:
        JsonSource.parse(text)
    assert (caught.value.lineno, caught.value.colno, caught.value.msg) == (line, column, message)
