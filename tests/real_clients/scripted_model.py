"""A model's server on loopback that follows a script: as much of Google's Generative Language API as two clients use.

with ScriptedModel([("tool", {"argument": "value"})]) as model:
    ...
    assert model.results == ["what the tool gave back"]
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

ENDING = "That is all."


class ScriptedModel:
    """Calls one tool after the other, whatever it is asked, and then says that this is all.

    Args:
        calls: The name of each tool, and its arguments.

    Attributes:
        offered: The names of the tools that it was offered last.
        results: What the calls gave back, in order, as the client told it.
    """

    def __init__(self, calls: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        self.offered: set[str] = set()
        self.results: list[str] = []
        self._calls = calls
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def base_url(self) -> str:
        """Where it is, without a version of the API."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _next_part(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        parts = [part for content in asked["contents"] for part in content["parts"]]
        self.offered = {one["name"] for tools in asked["tools"] for one in tools["functionDeclarations"]}
        self.results = [
            json.dumps(part["functionResponse"]["response"], ensure_ascii=False)
            for part in parts
            if "functionResponse" in part
        ]
        if len(self.results) == len(self._calls):
            return {"text": ENDING}
        name, arguments = self._calls[len(self.results)]
        return {"functionCall": {"name": name, "args": arguments}}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                content = {"role": "model", "parts": [model._next_part(asked)]}
                usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
                answer = {"candidates": [{"content": content, "finishReason": "STOP"}], "usageMetadata": usage}
                event = f"data: {json.dumps(answer)}\r\n\r\n".encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Content-Length", str(len(event)))
                self.end_headers()
                self.wfile.write(event)

            def log_message(self, format: str, *args: object) -> None:
                """Keeps quiet."""

        return Handler
