"""Codex, logged out, through its app-server."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tests.real_clients.client import RealClient, Verdict

_QUIET = ("-c", "analytics.enabled=false", "-c", "check_for_update_on_startup=false")
_HELLO: dict[str, Any] = {
    "clientInfo": {"name": "test", "version": "1"},
    "capabilities": {"experimentalApi": True},
}
_Ask = Callable[..., Awaitable[dict[str, Any]]]


class Codex(RealClient):
    """Codex."""

    name = "codex"
    title = "Codex"
    command = "codex"

    async def check(self) -> Verdict:
        status = await self._status()
        return Verdict(status["serverInfo"] is not None, str(status["toolsError"]))

    async def tools(self) -> set[str]:
        tools: dict[str, Any] = (await self._status())["tools"]
        assert all(tool["annotations"] and tool["outputSchema"] for tool in tools.values())
        return set(tools)

    async def call(self, tool: str, **arguments: Any) -> str:
        async with self._app_server() as ask:
            thread = (await ask("thread/start", cwd=str(self.user.project)))["thread"]["id"]
            done = await ask("mcpServer/tool/call", threadId=thread, server=self.server, tool=tool, arguments=arguments)
        (content,) = done["content"]
        return content["text"]

    async def learn(self, skill: Path) -> None:
        shutil.copytree(skill, self.user.home / ".agents/skills" / skill.name)

    async def skills(self) -> set[str]:
        async with self._app_server() as ask:
            (found,) = (await ask("skills/list", cwds=[str(self.user.project)]))["data"]
        assert found["errors"] == []
        return {skill["name"] for skill in found["skills"] if skill["enabled"]}

    async def _status(self) -> dict[str, Any]:
        async with self._app_server() as ask:
            servers = (await ask("mcpServerStatus/list"))["data"]
        (status,) = [one for one in servers if one["name"] == self.server]
        return status

    @asynccontextmanager
    async def _app_server(self) -> AsyncGenerator[_Ask]:
        numbers = count()
        async with self.user.dialogue("codex", *_QUIET, "app-server") as dialogue:

            async def ask(method: str, **params: Any) -> dict[str, Any]:
                number = next(numbers)
                dialogue.say({"id": number, "method": method, "params": params})
                heard = await dialogue.hear(lambda message: message.get("id") == number)
                assert "error" not in heard, heard
                return heard["result"]

            await ask("initialize", **_HELLO)
            dialogue.say({"method": "initialized"})
            yield ask
