"""What jobs print: stored as it comes, without secrets; shown in pages, without control characters.

Each job has a folder with up to two files: `answer`, and `rest` for whatever else there is (stdout before the answer,
stderr, the session's tail). What would be empty isn't made. A page's offset counts bytes over both, the answer first.
"""

from __future__ import annotations

import codecs
import errno
import logging
import os
import shutil
from collections.abc import Callable, Generator, Iterable
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from picoclaw_fleet.text.plain_text import ESCAPES, clean
from picoclaw_fleet.text.redaction import Redactor
from picoclaw_fleet.worker.answer import AnswerSplitter

logger = logging.getLogger(__name__)

PAGE_CHARACTERS = 20_000
"""At most so much of one job's output goes into one reply."""

KEPT_FREE = 4 << 20
"""What outputs leave free for the ledger beside them; SQLite's log grows to about as much."""

_MEGABYTE = 1 << 20
_BEGINNING = 2000
_LONGEST_ESCAPE = 1000
_LONGEST_CHARACTER = 4
_Utf8Decoder = codecs.getincrementaldecoder("utf-8")


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of a job's output.

    Attributes:
        answer: What of it belongs to the answer.
        rest: What of it belongs to the rest.
        next_offset: Where the next page begins; None when this is the last.
        left: How many bytes come after it.
    """

    answer: str
    rest: str
    next_offset: int | None
    left: int


class OutputStore:
    """The outputs of all jobs, each in a folder named after it.

    Args:
        folder: Where they lie; made when the first one is stored.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._coming = 0

    @contextmanager
    def storing(self, job_id: str, secrets: Iterable[str], size: int = 0) -> Generator[OutputWriter]:
        """Stores a job's output, in place of what may be there already; nothing is kept when it fails.

        Args:
            job_id: Whose output.
            secrets: What is taken out of it.
            size: How many bytes are to come; where there is no room for them, none is written.
        """
        folder = self._empty_folder(job_id)
        answer, rest = _File(folder / "answer"), _File(folder / "rest")
        writer = OutputWriter(answer, rest, secrets)
        self._coming += size
        try:
            self._check_room()
            with closing(answer), closing(rest):
                yield writer
            if writer.all_is_answer and rest.beginning:
                rest.path.replace(answer.path)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            self._coming -= size

    def page(self, job_id: str, offset: int = 0, limit: int = PAGE_CHARACTERS) -> Page:
        """Reads one page.

        Args:
            job_id: Whose output.
            offset: From where, as an earlier page's next_offset said.
            limit: How many characters at most, from 1.
        """
        folder = self._folder / job_id
        answer, rest = folder / "answer", folder / "rest"
        answer_size, rest_size = _size(answer), _size(rest)
        answer_part = _read(answer, answer_size, offset, limit)
        rest_part = _read(rest, rest_size, offset + len(answer_part) - answer_size, limit - len(answer_part))
        end = offset + len(answer_part) + len(rest_part)
        left = max(answer_size + rest_size - end, 0)
        return Page(clean(answer_part), clean(rest_part), end if left else None, left)

    def make_durable(self, job_ids: Iterable[str]) -> set[str]:
        """Brings the outputs of jobs onto the disk: they are about to be removed elsewhere. Blocks.

        Returns:
            The jobs with which that has worked.
        """
        durable: set[str] = set()
        for job_id in job_ids:
            try:
                _sync(f"{self._folder}/{job_id}/answer")
                _sync(f"{self._folder}/{job_id}/rest")
            except OSError as error:
                logger.warning("The output of job %s can't be made durable: %s", job_id, error)
            else:
                durable.add(job_id)
        return durable

    def remove(self, job_ids: Iterable[str]) -> None:
        """Removes the outputs of jobs."""
        for job_id in job_ids:
            shutil.rmtree(self._folder / job_id, ignore_errors=True)

    def _empty_folder(self, job_id: str) -> Path:
        folder = self._folder / job_id
        try:
            folder.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            # A process died before it could note that all of it is here.
            shutil.rmtree(folder)
            folder.mkdir(mode=0o700)
        return folder

    def _check_room(self) -> None:
        disk = shutil.disk_usage(self._folder)
        needed = self._coming + KEPT_FREE
        if disk.total and disk.free < needed:  # some file systems don't tell how large they are
            rounded = (needed + _MEGABYTE - 1) // _MEGABYTE
            raise OSError(errno.ENOSPC, f"{rounded} MB have to be free, and {disk.free // _MEGABYTE} MB are")


class OutputWriter:
    """Writes one job's output: all of stdout first, then the other parts under titles of their own.

    Attributes:
        all_is_answer: True when all that was printed is to be taken for the answer, as there is none to be told apart.
    """

    def __init__(self, answer: _File, rest: _File, secrets: Iterable[str]) -> None:
        self._answer = answer
        self._rest = rest
        self._secrets = tuple(secrets)
        self._redactor = Redactor(self._secrets)
        self._splitter = AnswerSplitter(answer.write, rest.write)
        self.all_is_answer = False

    @property
    def found_answer(self) -> bool:
        """Whether stdout had an answer in it."""
        return self._splitter.found

    @property
    def beginning(self) -> str:
        """How the answer begins, as far as it is here."""
        return clean((self._rest if self.all_is_answer else self._answer).beginning)

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


class _File:
    """A file that is made when there is something for it; remembers how it begins."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.beginning = b""
        self._opened: BinaryIO | None = None

    def write(self, data: bytes) -> None:
        if not data:
            return
        if self._opened is None:
            self._opened = self.path.open("wb")
        self.beginning += data[: _BEGINNING - len(self.beginning)]
        self._opened.write(data)

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()


def _sync(file: str) -> None:
    """Has the kernel write a file to the disk, if there is such a file."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _read(file: Path, size: int, offset: int, limit: int) -> bytes:
    """Reads what makes at most limit characters; cuts neither a character nor an escape sequence in two."""
    if not 0 <= offset < size or limit <= 0:
        return b""
    with file.open("rb") as opened:
        opened.seek(offset)
        data = opened.read(limit + _LONGEST_ESCAPE)
    return data[: _end_of_page(data, limit)]


def _end_of_page(data: bytes, limit: int) -> int:
    """Where a page of about limit bytes ends; behind limit only where an escape sequence goes on, which isn't shown."""
    if len(data) <= limit:
        return len(data)
    escape = data.rfind(b"\x1b", max(limit - _LONGEST_ESCAPE, 0), limit)
    if escape >= 0 and (match := ESCAPES.match(data, escape)) and match.end() > limit:
        return match.end()
    decoder = _Utf8Decoder("replace")
    decoder.decode(ESCAPES.sub(b"\0", data[:limit]))
    unfinished, _ = decoder.getstate()
    return limit - len(unfinished) or _end_of_character(data[:_LONGEST_CHARACTER])


def _end_of_character(data: bytes) -> int:
    """Where the first character ends, which may be an invalid one."""
    for end in range(1, len(data)):
        if data[:end].decode(errors="replace") + data[end:].decode(errors="replace") == data.decode(errors="replace"):
            return end
    return len(data)
