"""Conversations on disk."""

from __future__ import annotations

import os
import time

from plain_json import dumps, loads
from release import FIRST, LATEST
from streams import append_text, read_text, write_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

OLD_SHARED = "agent:main:main"
SHARED = "sk_v1_cb10fea2cfe7f7373a42cc19db45c88fb87caebad9d6295e89a00577b35d7cc1" if LATEST else OLD_SHARED
EXPLICIT = ("agent:", "sk_v1_") if LATEST else ("agent:",)


class Session:
    """The history of one conversation: a JSON file written at the end in 0.1.2, JSON lines written at once later."""

    def __init__(self, workspace: str, wanted: str, meta_race: float) -> None:
        self.key = wanted if FIRST or wanted.startswith(EXPLICIT) else SHARED
        self.folder = os.path.join(workspace, "sessions")
        self.path = self.path_of(self.key)
        self.meta_race = meta_race
        self.messages = history(self.path)
        if LATEST and not self.messages:  # 0.2.7 to 0.2.9 take over what the old shared session holds
            for message in history(self.path_of(OLD_SHARED)):
                self.add(message["role"], message["content"])

    def path_of(self, key: str) -> str:
        name = key.replace(":", "_").replace("/", "_").replace("\\", "_")
        return os.path.join(self.folder, name + (".json" if FIRST else ".jsonl"))

    def add(self, role: str, content: str) -> None:
        message = {"role": role, "content": content}
        self.messages.append(message)
        if FIRST:
            return
        append_text(self.path, dumps(message) + "\n")
        path = self.path.removesuffix("jsonl") + "meta.json"
        meta: Json = loads(read_text(path) or '{"count": 0}')
        time.sleep(self.meta_race)
        write_text(path, dumps({"key": self.key, "count": meta["count"] + 1}))

    def close(self) -> None:
        if FIRST:
            write_text(self.path, dumps({"key": self.key, "messages": self.messages}))


def history(path: str) -> list[Json]:
    text = read_text(path)
    if FIRST:
        return loads(text)["messages"] if text else []
    return [loads(line) for line in text.split("\n") if line]
