"""Gemini CLI, with a script in the place of the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.real_clients.client import RealClient, Verdict
from tests.real_clients.scripted_model import ENDING, ScriptedModel
from tests.real_clients.user import User

_SETTINGS = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "privacy": {"usageStatisticsEnabled": False},
    "general": {"enableAutoUpdate": False},
}
_ASK = ("gemini", "--approval-mode", "yolo", "--output-format", "json", "--model", "gemini-2.5-flash", "--prompt", "go")


class GeminiCli(RealClient):
    """Gemini CLI."""

    name = "gemini"
    title = "Gemini CLI"
    command = "gemini"

    def __init__(self, user: User) -> None:
        super().__init__(user)
        user.variables["GEMINI_CLI_TRUST_WORKSPACE"] = "true"
        settings = user.home / ".gemini/settings.json"
        settings.parent.mkdir()
        settings.write_text(json.dumps(_SETTINGS))

    async def check(self) -> Verdict:
        said = await self.user.run("gemini", "mcp", "list")
        return Verdict(f"✓ {self.server}" in said.all and "- Connected" in said.all, said.all)

    async def tools(self) -> set[str]:
        with ScriptedModel([]) as model:
            await self._ask(model)
        return {name.removeprefix(self._prefix) for name in model.offered if name.startswith(self._prefix)}

    async def call(self, tool: str, **arguments: Any) -> str:
        with ScriptedModel([(self._prefix + tool, arguments)]) as model:
            await self._ask(model)
        (result,) = model.results
        return result

    async def learn(self, skill: Path) -> None:
        said = await self.user.run("gemini", "skills", "install", str(skill), "--consent")
        assert said.status == 0, said.all

    async def skills(self) -> set[str]:
        said = await self.user.run("gemini", "skills", "list")
        return {line.removesuffix(" [Enabled]") for line in said.out.splitlines() if line.endswith(" [Enabled]")}

    @property
    def _prefix(self) -> str:
        return f"mcp_{self.server}_"

    async def _ask(self, model: ScriptedModel) -> None:
        said = await self.user.run(*_ASK, GEMINI_API_KEY="none", GOOGLE_GEMINI_BASE_URL=model.base_url)
        assert said.status == 0, said.all
        assert json.loads(said.out)["response"] == ENDING
