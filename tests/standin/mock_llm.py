"""A model's server on loopback: as much of the OpenAI chat API as PicoClaw uses.

with MockLLM() as llm:
    install(home, api_base=llm.base_url)
    ...
    assert llm.requests[0].messages[-1]["content"] == "the task"
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """One chat completion that was asked for."""

    model: str
    authorization: str
    """The header as sent, "" when there was none."""
    messages: list[dict[str, str]]
    """All but the system's: that one is PicoClaw's own text, and the stand-in sends none."""


class MockLLM:
    """Answers every request alike. What it does may be changed between requests.

    Attributes:
        reply: What it says.
        status: The HTTP status that it answers with.
        command: A shell command that it wants to be run before it says anything; "" for none.
        how: In which ways it wants that, of those that PicoClaw has: background, pty.
        requests: All requests so far, in the order of their arrival.
    """

    def __init__(self, reply: str = "a model's answer", status: int = 200) -> None:
        self.reply = reply
        self.status = status
        self.command = ""
        self.how: tuple[str, ...] = ()
        self.requests: list[Request] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def base_url(self) -> str:
        """What belongs in a configuration's `api_base`."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> MockLLM:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, path: str, authorization: str, body: bytes) -> tuple[int, bytes]:
        """Records one request and returns the status and body to send."""
        if path != "/v1/chat/completions":
            return 404, b'{"error": {"message": "no such path"}}'
        asked = json.loads(body)
        said = [message for message in asked["messages"] if message["role"] != "system"]
        self.requests.append(Request(asked["model"], authorization, said))
        if self.status != 200:
            return self.status, b'{"error": {"message": "refused"}}'
        message: Json = {"role": "assistant", "content": self.reply}
        # The stand-in offers no tools.
        if self.command and "tools" in asked and said[-1]["role"] != "tool":
            message = {"role": "assistant", "content": "", "tool_calls": [self._call(asked["tools"])]}
        choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}
        return 200, json.dumps({"object": "chat.completion", "choices": [choice]}).encode()

    def _call(self, tools: list[Json]) -> Json:
        """Calls the tool `exec` as the request describes it: later versions want an action named, 0.2.4 refuses one."""
        (exec_tool,) = (tool["function"] for tool in tools if tool["function"]["name"] == "exec")
        action = {"action": "run"} if "action" in exec_tool["parameters"]["properties"] else {}
        # PicoClaw refuses true, and takes "true".
        arguments = json.dumps({**action, "command": self.command, **dict.fromkeys(self.how, "true")})
        return {"id": "call_1", "type": "function", "function": {"name": "exec", "arguments": arguments}}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        llm = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, answer = llm.answer(self.path, self.headers.get("Authorization", ""), body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                """Keeps quiet."""

        return Handler
