"""What happens to a task between its arrival and the exit status."""

from __future__ import annotations

import os
import time

from children import start_children
from knobs import knobs_for
from model import Model, ask_model, llm_failure
from release import FIRST, LATEST, LOGO, CommandError
from session import Session
from streams import Log, append_text, err, log, out, write_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

COMPLETED = "I've completed processing but have no response to give."
NO_RESPONSE = "The model returned an empty response. This may indicate a provider error or token limit."
TOOL_LIMIT = (
    "I've reached `max_tool_iterations` without a final response. Increase `max_tool_iterations` in config.json"
    " if this task needs more tool steps."
)
MOST_REMEMBERED = 1 << 20
"""Of an answer, in bytes. To write down a huge one as text takes longer than all else that is done with it."""

SLASH_COMMANDS = {
    "show list switch": True,
    "help start check clear use reload subagents": not FIRST,
    "context stop": LATEST,
}


class Run:
    """One process's work: everything but the task is known."""

    def __init__(self, model: Model, workspace: str, wanted_session: str, *, restricted: bool) -> None:
        self.model = model
        self.workspace = workspace
        self.wanted_session = wanted_session
        self.restricted = restricted

    def work_on(self, task: str) -> int:
        """Works on one task, prints the answer and returns the exit status."""
        knobs = knobs_for(task)
        session = Session(self.workspace, self.wanted_session, knobs.get("meta_race", 0))
        log.write("info", f"Processing message from cli:cron: {task[:80]}")
        own_answer = answer_without_model(task, self.model)
        if own_answer is not None:
            self.record(knobs.get("command_log"), task, session)
            out(f"\n{LOGO} {own_answer}\n")
            return 0
        self.record(knobs.get("log"), task, session)
        session.add("user", task)
        self.write_files(knobs.get("write_files", {}))
        output = start_children(knobs, self.workspace) if "exec" in knobs or "clean_env_child" in knobs else ""
        linger(knobs, session)
        if knobs.get("panic"):
            err("panic: runtime error: invalid memory address or nil pointer dereference\n\ngoroutine 1 [running]:\n")
            return 2
        try:
            answer = self.compose(knobs, task, session.messages, output)
        except CommandError as failure:
            log.write("error", f"LLM call failed error={failure}")
            raise
        log.write("info", f"Response: {answer[:120].decode('utf-8', 'replace')}")
        session.add("assistant", answer[:MOST_REMEMBERED].decode("utf-8", "replace"))
        session.close()
        return finish(knobs, answer)

    def record(self, path: str | None, task: str, session: Session) -> None:
        """Adds the line by which tests count runs."""
        if path is None:
            return
        from hashlib import sha256

        digest = sha256(task.encode("utf-8", "surrogateescape")).hexdigest()
        append_text(path, f"{time.time_ns()} {os.getpid()} {digest} {session.key} {self.workspace}\n")

    def write_files(self, files: dict[str, str]) -> None:
        inside = os.path.realpath(self.workspace) + "/"
        for name, text in files.items():
            path = os.path.realpath(os.path.join(self.workspace, name))
            if self.restricted and not path.startswith(inside):
                log.write("error", f"access denied: path is outside the workspace path={path}")
            else:
                write_text(path, text)

    def compose(self, knobs: Json, task: str, messages: list[Json], output: str) -> bytes:
        """Returns the answer; raises CommandError when the model's server does not give one."""
        if "llm_error" in knobs:
            raise llm_failure(knobs["llm_error"], '{"error":{"message":"scripted"}}')
        if knobs.get("huge"):
            return huge_answer(knobs["huge"])
        if knobs.get("empty"):
            return b""
        if knobs.get("tool_limit"):
            return (COMPLETED if FIRST else TOOL_LIMIT).encode()
        if knobs.get("no_response"):
            reply = ""
        elif self.model.api_base:
            reply = ask_model(self.model, messages, knobs.get("retry_scale", 0))
        else:
            reply = knobs.get("reply", "done: {task}").replace("{output}", output).replace("{task}", task)
        return (reply or (COMPLETED if FIRST else NO_RESPONSE)).encode("utf-8", "surrogateescape")


def answer_without_model(task: str, model: Model) -> str | None:
    """Answers what PicoClaw takes for a command of its own, in other words than it; None: a task for the model."""
    name, *words = task[1:].split() or [""]
    if not FIRST:
        name = name.lower().partition("@")[0]
    known = [command for commands, present in SLASH_COMMANDS.items() if present for command in commands.split()]
    if task[0] not in ("/" if FIRST else "/!") or name not in known:
        return None
    if name != "show" or words[:1] != ["model"]:
        return f"Usage: /{name}"
    return f"Current model: {model.name}" if FIRST else f"Current Model: {model.name} (Provider: {model.provider})"


def linger(knobs: Json, session: Session) -> None:
    if "partial" in knobs:
        session.add("assistant", knobs["partial"])
        out(knobs["partial"])
    time.sleep(knobs.get("slow", 0))
    if knobs.get("chatty"):
        for level in Log.levels[:4]:
            log.write(level, f"a line of level {level} iteration=1")


def huge_answer(size: int) -> bytes:
    pattern = b"line \x1b[31mred\x1b[0m \xff\xfe caf\xc3\xa9\n" + f"{LOGO} not the answer\n\n".encode()
    return (pattern * (size // len(pattern) + 1))[: size - 1] + b"."


def finish(knobs: Json, answer: bytes) -> int:
    """Prints what is left to print and returns the exit status, or dies of a signal."""
    err(knobs.get("stderr_bytes", "").encode("latin-1"))
    raw = knobs.get("stdout_bytes")
    if raw is None:
        out(f"\n{LOGO} ", answer, "\n")
    else:
        out(raw.encode("latin-1"))
    if knobs.get("late_log"):
        log.write("error", "failed to close MCP server")
    status = knobs.get("exit", 0)
    if status < 0:
        os.kill(os.getpid(), -status)
    return status
