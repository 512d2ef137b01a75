"""A home directory with the stand-in in it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.standin import install

ALL = ("0.1.2", "0.2.4", "0.2.9")
LATER = ("0.2.4", "0.2.9")
QUIET = {"NO_COLOR": "1", "TERM": "dumb", "PICOCLAW_LOG_LEVEL": "fatal", "PICOCLAW_LOG_FILE": "/dev/null"}


class Host:
    """A home directory, and commands that are run in it with an environment of their own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.binary = home / ".local/bin/picoclaw"
        self.config = home / ".picoclaw/config.json"
        self.security = home / ".picoclaw/.security.yml"
        self.sessions = home / ".picoclaw/workspace/sessions"

    def run(self, *args: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self.binary, *args],
            input=stdin.encode(),
            capture_output=True,
            env=self.environment(env),
            check=False,
            timeout=20,
        )

    def start(self, *args: str, **env: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self.binary, *args],
            env=self.environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def environment(self, env: dict[str, str]) -> dict[str, str]:
        return {"HOME": str(self.home), "PATH": "/usr/bin:/bin", **env}

    def ask(self, task: str, *args: str, **env: str) -> str:
        """Runs a task in silence and returns the answer."""
        done = self.run("agent", "-m", task, *args, **{**QUIET, **env})
        assert done.returncode == 0, done
        return answer_of(done)

    def write_config(self, **settings: object) -> None:
        self.config.parent.mkdir(exist_ok=True)
        self.config.write_text(json.dumps(settings))


def answer_of(done: subprocess.CompletedProcess[bytes]) -> str:
    text = done.stdout.decode("utf-8", "replace").replace("\r\n", "\n")
    return text.partition("\n🦞 ")[2].removesuffix("\n")


def with_version(tmp_path: Path, version: str, **knobs: object) -> Host:
    install(tmp_path, version=version, knobs=knobs)
    return Host(tmp_path)
