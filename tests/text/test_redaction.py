"""No secret gets past the redactor, however the stream is cut; everything else does."""

from __future__ import annotations

import os
import random
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from picoclaw_fleet.text.redaction import PLACEHOLDER, Redactor
from picoclaw_fleet.text.secret_shapes import KEY, KEY_SHAPES, LONG_KEY_SHAPES, looks_like_secret

KNOWN = ("correct-horse-battery", "correct-horse", "pässwörd-ü", "a+b(c)[d]*", "x" * 400)
SHAPES = (
    "sk-" + "a1B2" * 12,
    "sk-ant-api03-" + "Zz9_-" * 15,
    "sk_live_" + "aB3" * 8,
    "ghp_" + "a1B2" * 9,
    "github_pat_" + "a1_B2" * 12,
    "glpat-" + "a1B2-" * 4,
    "gsk_" + "a1B2" * 13,
    "xai-" + "a1B2" * 13,
    "hf_" + "a1B2" * 8,
    "xoxb-" + "12345-abcde-" * 4,
    "AKIA" + "A1B2" * 4,
    "AIza" + "a1B2_" * 7,
    "pcf_" + "a1B2-_3" * 6,
    "eyJ" + "hbGciOiJIUzI1NiJ9." + "eyJ" + "zdWIi_-" * 300 + "." + "a1B2-_3" * 6,
    "-----BEGIN " + "RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n" + ("a1B2+/cd" * 8 + "\n") * 50 + "ab==\n"
    "-----END RSA PRIVATE KEY-----",
)
HARMLESS = (
    "risk-management-framework-for-all",
    "a task-oriented-dialogue-system-",
    "disk-encryption-and-its-discontents",
    "sk-short",
    "the sky, a desk, gh_ and AKIA",
    "🦞 grüße\r\n\t",
    "\x00\x1b[31m",
    "=" * 300,
)

harmless = st.lists(st.sampled_from(HARMLESS) | st.text(alphabet="ab -\n_🦞", max_size=20), max_size=8)
secret = st.sampled_from(KNOWN + SHAPES)


def redacted(data: bytes, cuts: list[int]) -> bytes:
    redactor = Redactor(KNOWN)
    borders = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(borders)]
    return b"".join(map(redactor.feed, pieces)) + redactor.flush()


@given(st.lists(st.tuples(harmless, secret), max_size=5), harmless, st.lists(st.integers(0, 10_000), max_size=12))
def test_no_secret_survives_however_the_stream_is_cut(
    parts: list[tuple[list[str], str]], end: list[str], cuts: list[int]
) -> None:
    words = [word for before, value in parts for word in (*before, value)] + end
    data = " ".join(words).encode()

    out = redacted(data, cuts)

    assert out.count(PLACEHOLDER) == len(parts)
    assert not [value for value in (*KNOWN, *SHAPES) if value.encode() in out]
    assert out == redacted(data, [])


@given(harmless, st.lists(st.integers(0, 10_000), max_size=12))
def test_text_without_secrets_is_unchanged(words: list[str], cuts: list[int]) -> None:
    data = " ".join(words).encode()

    assert redacted(data, cuts) == data


@given(st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=8))
def test_any_bytes_come_out_the_same_however_they_are_cut(data: bytes, cuts: list[int]) -> None:
    assert redacted(data, cuts) == redacted(data, [])


def redacted_plainly(data: bytes) -> bytes:
    known = sorted(map(str.encode, KNOWN), key=len, reverse=True)
    return re.sub(b"|".join([*map(re.escape, known), KEY.encode()]), PLACEHOLDER, data)


# What may and may not stand before and in a key, in all orders, so that many of them are keys and many nearly are.
shreds = st.lists(
    st.sampled_from([sign.encode() for sign in KEY_SHAPES | LONG_KEY_SHAPES])
    | st.sampled_from([value.encode() for value in KNOWN + SHAPES])
    | st.sampled_from(
        [
            b"a1B2" * 10,
            b"A1B2" * 4,
            b"1-a",
            b"s",
            b"-a-",
            b"_",
            b".",
            b"-",
            b"-----",
            b"PRIVATE KEY",
            b"\n",
            b"\\n",
            b"\033[0m",
        ]
    )
    | st.sampled_from(["ü".encode(), b"\x7f", b"\x80", b"\xff", b"\xed\xa0\x80", b"\x00", b" "])
    | st.binary(max_size=4),
    max_size=12,
).map(b"".join)


@given(shreds, st.lists(st.integers(0, 10_000), max_size=12))
def test_the_quick_look_at_a_piece_overlooks_nothing(data: bytes, cuts: list[int]) -> None:
    assert redacted(data, cuts) == redacted_plainly(data)


@pytest.mark.parametrize("value", SHAPES)
def test_a_key_is_one_behind_any_byte_but_a_letter_or_digit(value: str) -> None:
    for before in map(bytes, zip(range(256), strict=True)):
        data = before + value.encode()
        assert redacted(data, [1]) == redacted(data, []) == (data if before.isalnum() else before + PLACEHOLDER)


@pytest.mark.parametrize("before", [r"\n", r"\t", r'"said\r', "\033[1;31m", "\033[m"])
@pytest.mark.parametrize("value", SHAPES)
def test_a_key_is_one_behind_a_line_end_of_json_and_behind_a_colour(value: str, before: str) -> None:
    """As in the session of a worker that was stopped."""
    data = f"{before}{value}".encode()
    assert [redacted(data, [cut]) for cut in range(len(before) + 2)] == [before.encode() + PLACEHOLDER] * (
        len(before) + 2
    )


@pytest.mark.parametrize("value", [*KNOWN, *SHAPES])
def test_each_secret_is_found_in_pieces_of_any_size(value: str) -> None:
    data = f"key: {value}\nrisk-{'a' * 30} {value}".encode()
    for size in (1, 2, 3, 7, 64):
        redactor = Redactor(KNOWN)
        pieces = [data[start : start + size] for start in range(0, len(data), size)]
        out = b"".join(map(redactor.feed, pieces)) + redactor.flush()
        assert out == b"key: [secret]\nrisk-" + b"a" * 30 + b" [secret]"


def test_a_known_secret_is_found_inside_of_a_word() -> None:
    assert redacted(b"xxcorrect-horse-batteryxx", []) == b"xx[secret]xx"


def test_a_whole_text_is_redacted_at_once() -> None:
    assert Redactor(KNOWN).redact("it said: correct-horse") == "it said: [secret]"


def test_without_secrets_the_shapes_are_found_all_the_same() -> None:
    assert Redactor(()).redact(SHAPES[0]) == "[secret]"


@pytest.mark.parametrize("value", SHAPES)
def test_what_is_taken_out_is_also_known_in_the_config(value: str) -> None:
    assert looks_like_secret(f"it is {value}.")


def test_of_a_private_key_without_an_end_the_text_behind_it_is_left() -> None:
    cut = "-----BEGIN " + "OPENSSH PRIVATE KEY-----\n" + ("a1B2+/cd" * 8 + "\n") * 3
    assert Redactor(()).redact(f"{cut}and that was all - for now") == "[secret]\nand that was all - for now"


def test_an_empty_secret_is_none() -> None:
    assert Redactor(["", "hidden"]).redact("it is hidden") == "it is [secret]"


def test_no_more_is_held_back_than_a_secret_is_long() -> None:
    redactor = Redactor(KNOWN)
    given_away = sum(len(redactor.feed(bytes(random.Random(1).randbytes(1 << 16)))) for _ in range(20))
    assert 20 * (1 << 16) - given_away <= 400


def test_a_secret_that_is_no_text_is_known_by_its_bytes() -> None:
    redactor = Redactor([os.fsdecode(b"abc\xff\xfedefgh")])
    assert redactor.feed(b"it is abc\xff\xfedefgh.") + redactor.flush() == b"it is " + PLACEHOLDER + b"."
