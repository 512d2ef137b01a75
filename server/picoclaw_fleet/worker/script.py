"""Scripts of ours, run on a host with nothing but sh: the text goes over stdin, the answer comes line by line.

An argument would be the simpler way in, but Dropbear refuses commands above 9,000 bytes (sysoptions.h, MAX_CMD_LEN),
and a file would have to be taken away again.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import resources

import anyio

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.text.plain_text import clean
from picoclaw_fleet.text.redaction import Redactor
from picoclaw_fleet.transport import Pool
from picoclaw_fleet.worker.contract import new_nonce

ANSWER_SECONDS = 180.0
"""How long a script may take: PicoClaw is asked up to four times, 20 s each, and a slow card is read for a digest."""

_LONGEST_LINE = 1 << 16
_LONGEST_ANSWER = 4 << 20
_PIECE = 1 << 16
_COMMENT = re.compile(r"\s*#.*")
_TOLD = ("kept", "removed", "failed")
"""With these words a script begins what people get to see: names of files may hold a key."""


def _text(*names: str) -> bytes:
    """The scripts in one, without comments. Everything is in functions; the last line calls them, if it arrives."""
    folder = resources.files("picoclaw_fleet.worker")
    lines = (line for name in names for line in folder.joinpath(name).read_text(encoding="utf-8").splitlines())
    return "".join(f"{line}\n" for line in lines if line.strip() and not _COMMENT.fullmatch(line)).encode()


INSTALL = _text("ground.sh", "install.sh")
REMOVAL = _text("ground.sh", "removal.sh")


@dataclass(slots=True)
class Said:
    """What a script said.

    Attributes:
        lines: Its own lines, in words.
        others: What programs that it ran printed.
    """

    lines: list[list[str]] = field(default_factory=list[list[str]])
    others: list[str] = field(default_factory=list[str])

    def all(self, word: str) -> list[str]:
        """What stands behind that word, a line each."""
        return [" ".join(rest) for first, *rest in self.lines if first == word]

    def first(self, word: str) -> str:
        """What stands behind that word for the first time; "" when it was not said."""
        return next(iter(self.all(word)), "")

    def kept(self) -> list[str]:
        """What was left alone, as `path: why`."""
        return [f"{path}: {why}" for path, _, why in (line.partition(" ") for line in self.all("kept"))]

    @property
    def failure(self) -> list[str] | None:
        """The words of a refusal, its reason first; None when there was none."""
        return next((rest for first, *rest in self.lines if first == "failed" and rest), None)

    @property
    def whole(self) -> bool:
        """Whether the script came to an end of its own."""
        return any(line[0] in ("done", "failed", "locked") for line in self.lines)


async def run_script(
    pool: Pool,
    host: Host,
    text: bytes,
    words: Sequence[str],
    *,
    stdin: bytes = b"",
    on_said: Callable[[list[str]], None] | None = None,
    secrets: Iterable[str] = (),
) -> Said:
    """Run a script to its end.

    Args:
        pool: The connections.
        host: Where.
        text: INSTALL or REMOVAL.
        words: Its arguments after the nonce. No secrets: the host's users can see them.
        stdin: What it reads.
        on_said: Is given each line of its own as it comes.
        secrets: What is blacked out of what people get to see of the answer, besides all that looks like a key.

    Raises:
        HostError: The host can't be reached, contact was lost, or the script broke off.
    """
    nonce = new_nonce()
    # Of what follows the text not a byte may be read, and that is slow: 40 ms, on a small board ten times as much.
    reader = f"dd bs=1 count={len(text)} 2>/dev/null" if stdin else "cat"
    command = shlex.join(["sh", "-c", f'eval "$({reader})"', "fleet", nonce, *words])
    said = Said()
    redactor = Redactor(secrets)
    with anyio.move_on_after(ANSWER_SECONDS) as patience:
        async with pool.command(host, command) as running:
            await running.write(text + stdin)
            running.write_eof()
            rest, heard = b"", 0
            while piece := await running.read(_PIECE):
                heard += len(piece)
                if heard > _LONGEST_ANSWER:
                    raise _too_large(host)
                *lines, rest = (rest + piece).split(b"\n")
                rest = rest[-_LONGEST_LINE:]
                for line in lines:
                    _take(clean(line), nonce, said, on_said)
            await running.wait_closed()
            if not said.whole:
                running.check()
                raise _broken(host, redactor.redact(clean(running.stderr)).strip())
    if patience.cancelled_caught:
        raise HostError(
            f"a step took longer than {ANSWER_SECONDS:g} s.",
            host=host.name,
            reason=Reason.TIMEOUT,
            retryable=True,
            next_step="The host may be overloaded; try again later.",
        )
    said.lines = [redactor.redact(" ".join(line)).split() if line[0] in _TOLD else line for line in said.lines]
    # All lines in one: a private key goes over many.
    said.others = redactor.redact("\n".join(said.others)).splitlines()
    return said


def _take(line: str, nonce: str, said: Said, on_said: Callable[[list[str]], None] | None) -> None:
    first, _, rest = line.partition(" ")
    if first != nonce or not rest:
        return  # what a .bashrc prints
    if rest.startswith("| "):
        said.others.append(rest[2:])
        return
    words = rest.split()
    said.lines.append(words)
    if on_said is not None:
        on_said(words)


def _too_large(host: Host) -> HostError:
    return HostError(
        f"a script of ours printed more than {_LONGEST_ANSWER >> 20} MB there.", host=host.name, reason=Reason.TOO_LARGE
    )


def _broken(host: Host, said: str) -> HostError:
    return HostError(
        "a script of ours broke off there; it needs a POSIX sh, dd and /proc"
        + (f" (it said: {said[-200:]})." if said else "."),
        host=host.name,
        reason=Reason.PROTOCOL_ERROR,
        next_step=f"Try it by hand: {host.by_hand('dd --version; ls /proc/self')}",
    )
