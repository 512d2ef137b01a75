"""What jobs print: stored as it comes, without secrets; shown in pages, without control characters.

Each job has a folder with two files: `answer`, and `rest` for whatever else there is (stdout before the answer, stderr,
the session's tail). A page's offset counts bytes over both, the answer first.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from picoclaw_fleet.jobs.redaction import Redactor
from picoclaw_fleet.worker.answer import AnswerSplitter

PAGE_CHARACTERS = 20_000
"""At most so much of one job's output goes into one reply."""

_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x1b[\]PX^_].*?(?:\x07|\x1b\\|\Z)"  # OSC and the other strings
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)
# At the end of a page: an escape sequence, or a character of several bytes, that goes on behind it.
_CUT_IN_TWO = re.compile(rb"(?:\x1b[^\x1b]{0,15}|[\xc0-\xff][\x80-\xbf]{0,2})\Z")
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of a job's output.

    Attributes:
        answer: What of it belongs to the answer.
        rest: What of it belongs to the rest.
        next_offset: Where the next page begins; None when this is the last.
    """

    answer: str
    rest: str
    next_offset: int | None


class OutputStore:
    """The outputs of all jobs, each in a folder named after it.

    Args:
        folder: Where they lie; made when the first one is stored.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def storing(self, job_id: str, secrets: Iterable[str]) -> Generator[OutputWriter]:
        """Stores a job's output, in place of what may be there already; nothing is kept when it fails."""
        folder = self._folder / job_id
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with (folder / "answer").open("wb") as answer, (folder / "rest").open("wb") as rest:
                writer = OutputWriter(answer, rest, secrets)
                yield writer
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def page(self, job_id: str, offset: int = 0, limit: int = PAGE_CHARACTERS) -> Page:
        """Reads one page.

        Args:
            job_id: Whose output.
            offset: From where, as an earlier page's next_offset said.
            limit: How many characters at most, from 1.
        """
        answer, rest = self._folder / job_id / "answer", self._folder / job_id / "rest"
        answer_size, rest_size = _size(answer), _size(rest)
        answer_part = _read(answer, offset, limit)
        rest_part = _read(rest, offset + len(answer_part) - answer_size, limit - len(answer_part))
        end = offset + len(answer_part) + len(rest_part)
        return Page(clean(answer_part), clean(rest_part), end if end < answer_size + rest_size else None)

    def has_answer(self, job_id: str) -> bool:
        """Whether there is anything to show as an answer."""
        return _size(self._folder / job_id / "answer") > 0

    def make_durable(self, job_ids: Iterable[str]) -> None:
        """Brings the outputs of jobs onto the disk: they are about to be removed elsewhere. Blocks.

        Raises:
            OSError: Some could not be written.
        """
        for job_id in job_ids:
            for file in (self._folder / job_id).glob("*"):
                with file.open("rb") as opened:
                    os.fsync(opened.fileno())

    def remove(self, job_ids: Iterable[str]) -> None:
        """Removes the outputs of jobs."""
        for job_id in job_ids:
            shutil.rmtree(self._folder / job_id, ignore_errors=True)

    def promote(self, job_id: str) -> None:
        """Takes all that was printed for the answer, where PicoClaw gave none that can be told apart."""
        (self._folder / job_id / "rest").replace(self._folder / job_id / "answer")


class OutputWriter:
    """Writes one job's output: all of stdout first, then the other parts under titles of their own."""

    def __init__(self, answer: BinaryIO, rest: BinaryIO, secrets: Iterable[str]) -> None:
        self._rest = rest
        self._secrets = tuple(secrets)
        self._redactor = Redactor(self._secrets)
        self._splitter = AnswerSplitter(answer.write, rest.write)

    @property
    def found_answer(self) -> bool:
        """Whether stdout had an answer in it."""
        return self._splitter.found

    def stdout(self, data: bytes) -> None:
        """Takes the next piece of PicoClaw's stdout."""
        self._splitter.write(self._redactor.feed(data))

    def end_of_stdout(self) -> None:
        """Writes what was held back of stdout."""
        self._splitter.write(self._redactor.flush())
        self._splitter.close()

    @contextmanager
    def part(self, title: str) -> Generator[Callable[[bytes], None]]:
        """Gives what takes another part of the output; call it after the end of stdout."""
        self._rest.write(f"\n--- {title}\n".encode())
        redactor = Redactor(self._secrets)

        def write(data: bytes) -> None:
            self._rest.write(redactor.feed(data))

        yield write
        self._rest.write(redactor.flush())


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _read(file: Path, offset: int, limit: int) -> bytes:
    """Reads at most limit bytes, which makes at most as many characters; ends before what would be cut in two."""
    if offset < 0 or limit <= 0 or not file.exists():
        return b""
    with file.open("rb") as opened:
        opened.seek(offset)
        data = opened.read(limit + 1)
    if len(data) <= limit:
        return data
    page = data[:limit]
    cut = _CUT_IN_TWO.search(page)
    return page[: cut.start()] if cut and cut.start() > 0 else page


def clean(data: bytes) -> str:
    """Makes worker text fit to be shown: no escape sequences, control and bidi characters, no invalid UTF-8."""
    text = _ESCAPES.sub("", data.decode(errors="replace").replace("\r\n", "\n"))
    return _CONTROLS.sub("", text)
