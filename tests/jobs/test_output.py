"""Outputs: stored whole, shown in pages that lose nothing and hide nothing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.faults.hosts import Disk

from picoclaw_fleet.jobs.output import OutputStore
from picoclaw_fleet.text.plain_text import clean

KEY = "a-secret-of-these-tests"
MARK = "\n🦞 ".encode()
FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)

fragments = st.sampled_from(
    [
        b"plain text\n",
        "grüße 🦞 你好 👩‍👩‍👧".encode(),
        b"\x1b[31mred\x1b[0m",
        b"\x1b]8;;https://example.org\x07link\x1b]8;;\x1b\\",
        "\x1b]0;tïtle 🦞\x07".encode(),
        b"\x1b]0;never ends",
        b"\x1b[",
        b"\x1b",
        b"\x1bP" + b"q" * 1200,
        b"\x9b31m",
        "\u202eevil\u2066\ufeff\u009b".encode(),
        b"\xff\xfe\xc3",
        b"\xe2\x82",
        b"\xed\xa0\x80",
        b"\xf0\x9f\xa6",
        b"\r\n",
        b"\r",
        b"\t\x00\x07\x08",
        b"\xe2\x1b[0m\x82\xac",
    ]
)
hostile = st.lists(fragments | st.binary(max_size=6) | st.text(max_size=4).map(str.encode), max_size=30).map(b"".join)


def stored(folder: Path, answer: bytes, rest: bytes) -> OutputStore:
    outputs = OutputStore(folder)
    with outputs.storing("j_one", [KEY]) as writer:
        writer.stdout(MARK + answer)
        writer.end_of_stdout()
        with writer.part("stderr") as write:
            write(rest)
    return outputs


def pages(outputs: OutputStore, limit: int) -> Iterable[tuple[str, str]]:
    offset: int | None = 0
    while offset is not None:
        page = outputs.page("j_one", offset, limit)
        assert len(page.answer) + len(page.rest) <= limit
        assert page.next_offset is None or page.next_offset > offset
        yield page.answer, page.rest
        offset = page.next_offset


@given(hostile, hostile, st.integers(1, 40) | st.integers(900, 1100))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_pages_put_together_are_the_clean_whole(tmp_path: Path, answer: bytes, rest: bytes, limit: int) -> None:
    outputs = stored(tmp_path, answer, rest)
    files = tmp_path / "j_one/answer", tmp_path / "j_one/rest"
    whole = [file.read_bytes() if file.exists() else b"" for file in files]

    answers, rests = zip(*pages(outputs, limit), strict=True)

    assert "".join(answers) == clean(whole[0])
    assert "".join(rests) == clean(whole[1])


@given(hostile)
def test_clean_text_has_no_control_no_escape_no_bidi_no_tag_and_no_invalid_characters(data: bytes) -> None:
    text = clean(data)

    assert not FORBIDDEN.search(text)
    assert not [character for character in text if unicodedata.category(character) == "Cs"]
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"one\r\ntwo\rthree\n", "one\ntwothree\n"),
        (b"\x1b[1;31mred\x1b[m \x1b]0;title\x07x\x1b(By", "red xy"),
        (b"\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"before \x1b]0;never ends\nafter", "before \nafter"),
        ("a\u202eb\u2066c\ufeff\U000e0064\U000e007f".encode(), "abc"),
        (b"caf\xc3\xa9 \xff", "café \ufffd"),
        (b"tab\tand\nnewline", "tab\tand\nnewline"),
        (b"\xe2\x1b[0m\x82\xac", "\ufffd\ufffd\ufffd"),
    ],
)
def test_what_is_shown_of_hostile_text(data: bytes, shown: str) -> None:
    assert clean(data) == shown


def test_the_answer_comes_first_and_the_rest_after_it(tmp_path: Path) -> None:
    outputs = OutputStore(tmp_path)
    with outputs.storing("j_one", []) as writer:
        for piece in (b"log line\n", MARK[:3], MARK[3:] + b"the ans", b"wer\n"):
            writer.stdout(piece)
        writer.end_of_stdout()
        assert writer.found_answer
        with writer.part("stderr") as write:
            write(b"warning\n")

    page = outputs.page("j_one")

    assert page.answer == "the answer\n"
    assert page.rest == "log line\n\n--- stderr\nwarning\n"
    assert page.next_offset is None


def test_secrets_are_taken_out_of_each_part_over_the_borders_of_pieces(tmp_path: Path) -> None:
    outputs = OutputStore(tmp_path)
    with outputs.storing("j_one", [KEY]) as writer:
        for byte in f"log {KEY}\n\n🦞 the key is {KEY}\n".encode():
            writer.stdout(bytes([byte]))
        writer.end_of_stdout()
        with writer.part("stderr") as write:
            for byte in f"{KEY} sk-{'a1' * 20}".encode():
                write(bytes([byte]))

    stored_bytes = b"".join(file.read_bytes() for file in (tmp_path / "j_one").iterdir())
    assert KEY.encode() not in stored_bytes
    assert outputs.page("j_one").answer == "the key is [secret]\n"
    assert outputs.page("j_one").rest == "log [secret]\n\n--- stderr\n[secret] [secret]"


def test_without_a_mark_everything_can_be_taken_for_the_answer(tmp_path: Path) -> None:
    outputs = OutputStore(tmp_path)
    with outputs.storing("j_one", []) as writer:
        writer.stdout(b"just text")
        writer.end_of_stdout()
        assert not writer.found_answer
        assert writer.beginning == ""
        writer.all_is_answer = True

    assert writer.beginning == "just text"
    assert outputs.page("j_one").answer == "just text"
    assert outputs.page("j_one").rest == ""


def test_nothing_can_be_taken_for_the_answer_too(tmp_path: Path) -> None:
    outputs = OutputStore(tmp_path)
    with outputs.storing("j_one", []) as writer:
        writer.end_of_stdout()
        writer.all_is_answer = True

    assert outputs.page("j_one").answer == ""


def test_what_is_stored_once_more_takes_the_place_of_all_that_was_there(tmp_path: Path) -> None:
    stored(tmp_path, b"half an answer", b"and a rest")

    outputs = OutputStore(tmp_path)
    with outputs.storing("j_one", []) as writer:
        writer.stdout(MARK + b"answer")
        writer.end_of_stdout()

    assert (outputs.page("j_one").answer, outputs.page("j_one").rest) == ("answer", "")
    assert [file.name for file in (tmp_path / "j_one").iterdir()] == ["answer"]


@given(hostile, st.integers(1, 40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_is_remembered_of_an_answer_is_how_it_begins(tmp_path: Path, answer: bytes, step: int) -> None:
    outputs = OutputStore(tmp_path)
    with outputs.storing("j_one", []) as writer:
        writer.stdout(MARK)
        for start in range(0, len(answer), step):
            writer.stdout(answer[start : start + step])
        writer.end_of_stdout()

    assert writer.beginning == clean(answer[:2000])


def test_storing_that_fails_leaves_nothing(tmp_path: Path) -> None:
    outputs = OutputStore(tmp_path)
    with pytest.raises(ConnectionError), outputs.storing("j_one", []) as writer:
        writer.stdout(b"half")
        raise ConnectionError

    assert outputs.page("j_one").answer == ""
    assert list(tmp_path.iterdir()) == []


def test_what_finds_no_room_is_not_begun_and_leaves_some_for_the_ledger(tmp_path: Path) -> None:
    with Disk(tmp_path / "disk", "8m") as disk:
        if not disk.is_mounted:
            pytest.skip("a small disk can't be mounted here")
        outputs = OutputStore(disk.folder)
        with pytest.raises(OSError, match="9 MB have to be free, and 8 MB are"), outputs.storing("j_one", [], 5 << 20):
            pytest.fail("there is no room for that")
        assert list(disk.folder.iterdir()) == []
        with outputs.storing("j_one", [], 3 << 20):
            with pytest.raises(OSError, match="10 MB have to be free"), outputs.storing("j_two", [], 3 << 20):
                pytest.fail("there is no room for both")
            assert [folder.name for folder in disk.folder.iterdir()] == ["j_one"]
        with outputs.storing("j_two", [], 3 << 20):
            pass


def test_a_disk_that_does_not_tell_its_size_is_not_taken_for_a_full_one(tmp_path: Path) -> None:
    with Disk(tmp_path / "disk", "0") as disk:
        assert stored(disk.folder, b"answer", b"").page("j_one").answer == "answer"


def test_a_page_of_nothing_is_empty_and_the_last(tmp_path: Path) -> None:
    outputs = stored(tmp_path, b"answer", b"rest")
    for page in (OutputStore(tmp_path).page("j_unknown", offset=7, limit=10), outputs.page("j_one", offset=1 << 100)):
        assert (page.answer, page.rest, page.next_offset) == ("", "", None)
