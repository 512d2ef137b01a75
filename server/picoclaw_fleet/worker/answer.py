r"""Telling PicoClaw's answer from everything else that it prints.

All versions print the answer as a lobster on a line of its own beginning, after banners and (0.2.3) logs:
`"\n🦞 " + answer + "\n"` on stdout (seen in 0.1.2 to 0.3.0). What follows the first such mark is the answer. The line
before it is an empty one: 0.2.3's logs quote the task and the answer, and those may have such lines in them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from picoclaw_fleet.errors import Reason

MARK = "\n\n🦞 ".encode()
_HELD_BACK = len(MARK) - 1

# Six lines of blocks and box drawing, each perhaps in a colour, at the beginning of stdout (0.2.1 to 0.2.9).
_COLOUR = rb"(?:\x1b\[[0-9;]*m)"
_BANNER = re.compile(
    rb"\A\r?\n?(?:(?:%(c)s|[ \r]|\xe2[\x94-\x96][\x80-\xbf])+\n){6}(?:%(c)s|[ \r])*\n?" % {b"c": _COLOUR}
)
_LONGEST_BANNER = 4096
_BOXES = re.compile(r"[\s\u2500-\u259f]*")

_NO_ANSWER = (
    "I've completed processing but have no response to give.",  # 0.1.2 to 0.2.3
    "The model returned an empty response.",  # from 0.2.4
)
_GAVE_UP = ("I've reached `max_tool_iterations`",)  # from 0.2.4
_LONGEST_CANNED = 400

_COMMAND_PREFIXES = ("/", "!")
TASK_PREFIX = "Task: "
"""Put in front of a task that PicoClaw would take for a command of its own: the only change ever made to a task."""


def as_message(task: str) -> str:
    """The task as PicoClaw has to be told it: unchanged, unless it begins with `/` or `!`."""
    return TASK_PREFIX + task if task.lstrip().startswith(_COMMAND_PREFIXES) else task


def complaint(text: str) -> str:
    """What is wrong, of what PicoClaw prints then: without the banner, and (0.2.0 to 0.2.6) how it is to be used."""
    said, _, _ = text.partition("\nUsage:\n")
    return "\n".join(line for line in said.splitlines() if not _BOXES.fullmatch(line))


class AnswerSplitter:
    """Takes PicoClaw's stdout as it comes and parts the answer from what precedes it.

    Args:
        answer: Is given what follows the first mark.
        rest: Is given what precedes it but for the banner; everything, when there is no mark.
    """

    def __init__(self, answer: Callable[[bytes], object], rest: Callable[[bytes], object]) -> None:
        self._answer = answer
        self._prelude = _Prelude(rest)
        self._held = _Prelude.BEGINNING
        self.found = False

    def write(self, data: bytes) -> None:
        """Takes the next piece of stdout."""
        if self.found:
            self._answer(data)
            return
        before, mark, after = (self._held + data).partition(MARK)
        if mark:
            self.found = True
            self._held = b""
            self._prelude.write(before + b"\n")
            self._answer(after)
        else:
            self._held = before[-_HELD_BACK:]
            self._prelude.write(before[:-_HELD_BACK])

    def close(self) -> None:
        """Gives away what was held back in case a mark went on in the next piece."""
        self._prelude.write(self._held)
        self._prelude.close()
        self._held = b""


class _Prelude:
    """What precedes the answer, without the banner.

    Attributes:
        BEGINNING: What it has to be told first and keeps to itself: in front of the output there is nothing, which is
            as good as an empty line.
    """

    BEGINNING = b"\n"

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        self._head = b""
        self._begun = False

    def write(self, data: bytes) -> None:
        if self._begun:
            self._sink(data)
            return
        self._head += data
        if len(self._head) > _LONGEST_BANNER:
            self.close()

    def close(self) -> None:
        if not self._begun:
            self._begun = True
            self._sink(_BANNER.sub(b"", self._head.removeprefix(self.BEGINNING)))


def canned_failure(answer: str) -> Reason | None:
    """Why an answer that came with exit status 0 is none; None when it is one.

    Args:
        answer: The whole answer or its beginning.
    """
    text = answer.strip()
    if not text:
        return Reason.EMPTY_ANSWER
    if len(text) > _LONGEST_CANNED:
        return None
    if text.startswith(_NO_ANSWER):
        return Reason.EMPTY_ANSWER
    if text.startswith(_GAVE_UP):
        return Reason.AGENT_ERROR
    return None
