"""The least that an MCP server in Python is: the same SDK, one tool, nothing else."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer


def answer(question: str) -> str:
    """Answers."""
    return question


if __name__ == "__main__":
    server = MCPServer("bare")
    server.add_tool(answer)
    server.run("stdio")
