"""What the tests want of every client."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tests.real_clients.user import User


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a client thinks of the server: whether it could connect, and in which words it says so."""

    connected: bool
    words: str


class RealClient(ABC):
    """One client, as a user has it.

    Attributes:
        name: What `picoclaw-fleet clients` calls it.
        title: What the README calls it.
        command: Its command.
        server: What it calls our server.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    command: ClassVar[str]

    def __init__(self, user: User) -> None:
        self.user = user
        self.server = "picoclaw-fleet"

    @abstractmethod
    async def check(self) -> Verdict:
        """Has the client connect, and say how that went."""

    @abstractmethod
    async def tools(self) -> set[str]:
        """The server's tools that the client would offer to a model, by the server's names."""

    @abstractmethod
    async def call(self, tool: str, **arguments: Any) -> str:
        """Calls a tool, and returns what a model would be shown, be it a result or an error."""

    @abstractmethod
    async def learn(self, skill: Path) -> None:
        """Installs a skill."""

    @abstractmethod
    async def skills(self) -> set[str]:
        """The names of the skills that the client would offer to a model."""
