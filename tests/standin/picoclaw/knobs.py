"""What a run does is set in a JSON file: $FAKE_PICOCLAW_SCRIPT or else ~/.fake-picoclaw.json.

Nothing is set by arguments, so that the code under test can't come to depend on it. File names are relative to $HOME.

    by_task          [{"contains": text, ...knobs}]: the first one whose text the task has overrides the rest
    reply            answer where no api_base is configured, default "done: {task}"; {task} and {output} are filled in
    slow             seconds to take before the answer
    partial          text for stdout and, from 0.2, the session, before being slow
    exit             exit status after the answer; negative: die of that signal
    panic            true: a Go trace on stderr, exit status 2
    llm_error        401, 500, ...: the model's server refuses with this status
    retry_scale      times the 2 s and 4 s that 0.2.9 waits before it asks a server again that is not there, default 0
    empty            true: no text in the answer, exit status 0
    no_response      true: the text for a model that says nothing, exit status 0
    tool_limit       true: the text for too many tool calls, exit status 0
    huge             bytes of answer: many lines, lobsters, colours, invalid UTF-8
    stdout_bytes     written in place of the answer, one byte for each character (Latin-1)
    stderr_bytes     likewise for stderr, before the answer
    chatty           true: log lines of each level before the answer, as far as version and level let them out
    late_log         true: an error in the log after the answer
    exec             shell command run in the workspace, or a list of those; {output} is what they print
    background       true: the commands are not waited for
    pty              true: the commands get a session of their own (from 0.2)
    clean_env_child  seconds: leave `env -i setsid sleep SECONDS` behind
    pids             file to which the pid of every child is appended
    write_files      {name: text} for the workspace; other places need restrict_to_workspace false
    log              file that gets a line for each task: time_ns pid sha256(task) session workspace
    command_log      the same for what is answered without the model, such as "/show model"
    meta_race        seconds between reading and writing a session's meta file
"""

from __future__ import annotations

import os

from plain_json import loads
from release import HOME
from streams import read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]


def knobs_for(task: str) -> Json:
    path = os.environ.get("FAKE_PICOCLAW_SCRIPT") or os.path.join(HOME, ".fake-picoclaw.json")
    knobs: Json = loads(read_text(path) or "{}")
    fitting = [entry for entry in knobs.get("by_task", []) if entry["contains"] in task]
    return {**knobs, **(fitting[0] if fitting else {})}
