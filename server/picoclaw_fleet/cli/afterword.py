"""What is logged while a command is at work: told once, when it is over and where it disturbs no picture."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager

from picoclaw_fleet.cli.boundary import innermost
from picoclaw_fleet.cli.output import print_notices


@contextmanager
def afterword() -> Generator[None]:
    """Keeps what is logged meanwhile, and tells it in the end, but for what the error says that ended it.

    With -v it is told at once, by the handler that is there already.
    """
    if logging.root.handlers:
        yield
        return
    kept, told = _Kept(), ""
    logging.root.addHandler(kept)
    try:
        yield
    except Exception as error:
        told = str(innermost(error))
        raise
    finally:
        logging.root.removeHandler(kept)
        print_notices([message for message in kept.messages if message != told])


class _Kept(logging.Handler):
    """Keeps each message once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: dict[str, None] = {}

    def emit(self, record: logging.LogRecord) -> None:
        self.messages[record.getMessage()] = None
