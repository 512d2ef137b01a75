"""Claude Code, logged out: what it says in its first line, and tools through its control protocol."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.real_clients.client import RealClient, Verdict
from tests.real_clients.user import User

_PRINT = ("claude", "-p", "--output-format", "stream-json", "--verbose")


class ClaudeCode(RealClient):
    """Claude Code."""

    name = "claude-code"
    title = "Claude Code"
    command = "claude"

    def __init__(self, user: User) -> None:
        super().__init__(user)
        for switch in ("DISABLE_TELEMETRY", "DISABLE_AUTOUPDATER", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"):
            user.variables[switch] = "1"

    async def check(self) -> Verdict:
        said = await self.user.run("claude", "mcp", "list")
        return Verdict(f"{self.server}: " in said.out and "✔ Connected" in said.out, said.all)

    async def tools(self) -> set[str]:
        first = await self._first_line()
        assert [(one["name"], one["status"]) for one in first["mcp_servers"]] == [(self.server, "connected")]
        return {name.removeprefix(self._prefix) for name in first["tools"] if name.startswith(self._prefix)}

    async def call(self, tool: str, **arguments: Any) -> str:
        request = {"subtype": "mcp_call", "tool": self._prefix + tool, "arguments": arguments}
        async with self.user.dialogue(*_PRINT, "--input-format", "stream-json") as dialogue:
            for number, asked in enumerate(({"subtype": "initialize"}, request)):
                dialogue.say({"type": "control_request", "request_id": str(number), "request": asked})
            heard = await dialogue.hear(lambda message: message.get("response", {}).get("request_id") == "1")
        response = heard["response"]
        return response["error"] if response["subtype"] == "error" else response["response"]["content"]

    async def learn(self, skill: Path) -> None:
        shutil.copytree(skill, self.user.home / ".claude/skills" / skill.name)

    async def skills(self) -> set[str]:
        return set((await self._first_line())["skills"])

    @property
    def _prefix(self) -> str:
        return f"mcp__{self.server}__"

    async def _first_line(self) -> dict[str, Any]:
        # Else it would not wait for servers that take their time.
        said = await self.user.run(*_PRINT, "hi", MCP_CONNECTION_NONBLOCKING="0", MCP_CONNECT_TIMEOUT_MS="30000")
        first = json.loads(said.out.splitlines()[0])
        assert first["subtype"] == "init", said.all
        return first
