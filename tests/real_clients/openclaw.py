"""OpenClaw, with a script in the place of the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.real_clients.client import RealClient, Verdict
from tests.real_clients.scripted_model import ENDING, ScriptedModel

# It offers MCP's resources and prompts as tools of its own.
_OWN = {"resources_list", "resources_read", "prompts_list", "prompts_get"}


class OpenClaw(RealClient):
    """OpenClaw."""

    name = "openclaw"
    title = "OpenClaw"
    command = "openclaw"

    async def check(self) -> Verdict:
        said = await self.user.run("openclaw", "mcp", "doctor", self.server, "--probe", "--json")
        return Verdict(said.status == 0 and json.loads(said.out)["ok"], said.all)

    async def tools(self) -> set[str]:
        said = await self.user.run("openclaw", "mcp", "probe", self.server, "--json")
        found = json.loads(said.out)
        assert found["diagnostics"] == []
        return {name.removeprefix(self._prefix) for name in found["tools"]} - _OWN

    async def call(self, tool: str, **arguments: Any) -> str:
        """Calls a tool by way of a search for it, as OpenClaw wants it from models where there are many tools."""
        search = ("tool_search", {"query": "a task for a machine of the fleet", "limit": 20})
        with ScriptedModel([search, ("tool_call", {"id": self._prefix + tool, "args": arguments})]) as model:
            said = await self.user.run(
                *("openclaw", "agent", "exec", "--json", "--config", str(self._config_with(model))),
                *("--model", "scripted/model", "go"),
            )
        assert said.status == 0, said.all
        assert json.loads(said.out)["final"] == ENDING
        found, result = model.results
        assert self._prefix + tool in found
        return result

    async def learn(self, skill: Path) -> None:
        said = await self.user.run("openclaw", "skills", "install", str(skill))
        assert said.status == 0, said.all

    async def skills(self) -> set[str]:
        said = await self.user.run("openclaw", "skills", "list", "--json")
        return {one["name"] for one in json.loads(said.out)["skills"] if one["eligible"] and one["modelVisible"]}

    @property
    def _prefix(self) -> str:
        return f"{self.server}__"

    def _config_with(self, model: ScriptedModel) -> Path:
        """A copy of the user's config that knows the model too."""
        config = json.loads((self.user.home / ".openclaw/openclaw.json").read_text())
        provider = {
            "api": "google-generative-ai",
            "apiKey": "none",
            "baseUrl": f"{model.base_url}/v1beta",
            "models": [{"id": "model", "name": "A script"}],
        }
        config["models"] = {"providers": {"scripted": provider}}
        copy = self.user.project / "openclaw.json"
        copy.write_text(json.dumps(config))
        return copy
