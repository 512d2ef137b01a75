"""Whoever types what stands in the documents sees it work."""

from __future__ import annotations

import re
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

import click
import pytest
from tests.docs.place import place
from tests.docs.snippets import DOCUMENTS, ROOT, SCRIPTS, SHELLS, Snippet, audit_line, script, snippets
from tests.servers import required

from picoclaw_fleet.cli.app import build
from picoclaw_fleet.config.file import load_config

PASSED_OVER = {
    "uv": "it takes the package from an index, and leaves it installed",
    "claude": "the clients are not there; `make clients` has them",
    "codex": "as claude",
    "gemini": "as claude",
    "openclaw": "as claude",
    "podman": "it takes images from a registry",
}
"""The commands in snippets that are not run, and why."""

NOT_RUN = {
    "text": "drawings and output",
    "nginx": "a part of the configuration of a program that is not there",
    "caddy": "as nginx",
}
"""The languages of snippets that are neither run nor read, and why."""

PATIENCE = 150
ALL = [snippet for document in DOCUMENTS for snippet in snippets(document)]
RUN = [document for document in DOCUMENTS if any(snippet.language in SCRIPTS for snippet in snippets(document))]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def test_each_snippet_is_run_or_read_or_there_is_a_reason_why_not() -> None:
    assert {snippet.language for snippet in ALL} == {*SHELLS, "python", "json", *NOT_RUN}
    fences = sum(len(re.findall(r"^ *```", document.read_text(), re.MULTILINE)) for document in DOCUMENTS)
    assert fences == 2 * len(ALL), "a fence has no end"
    typed = "\n".join(map(script, RUN))
    for command in PASSED_OVER:
        assert re.search(rf"^{command} ", typed, re.MULTILINE), f"no snippet has {command}"


@pytest.mark.timeout(PATIENCE + 30)
@pytest.mark.parametrize("document", RUN, ids=lambda document: document.name)
async def test_what_is_typed_works(document: Path, tmp_path: Path) -> None:
    if "curl " in script(document):
        required("curl")
    async with place(tmp_path, bare=document.name == "README.md") as here:
        folder = document.parent if document.name == "SKILL.md" else here.fleet.home
        typed = _with_free_ports(script(document)).replace("/tmp/", f"{tmp_path}/")
        status, shown = await here.run(typed, folder=folder, without=PASSED_OVER, patience=PATIENCE)
    assert status == 0, shown
    for answer in tmp_path.glob("*.out"):
        assert answer.read_text().startswith("done: "), "a command in the background failed"


@pytest.mark.parametrize("snippet", [one for one in ALL if one.language == "json" and one != audit_line()], ids=str)
def test_what_is_shown_as_a_config_can_be_used(snippet: Snippet, tmp_path: Path) -> None:
    file = tmp_path / "fleet.json"
    file.write_text(snippet.text)
    load_config(file)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_commands_in_the_text_are_known_with_their_options(document: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for code in re.findall(r"`([^`]+)`", text):
        words = code.split()
        if words[0] == "make" and len(words) > 1:
            assert words[1] in targets, f"make has no target {words[1]}"
        if words[0] == "picoclaw-fleet":
            _parse(words[1:])


def _parse(words: list[str]) -> None:
    """Has the command line take the words in; those in capitals stand for others."""
    command: click.Command = build(lambda _: None)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        if words[0].isupper():
            return
        assert words[0] in command.commands, f"there is no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    with suppress(
        click.MissingParameter, click.BadParameter, click.exceptions.NoArgsIsHelpError, click.exceptions.Exit
    ):
        command.make_context("picoclaw-fleet", list(words))


def _with_free_ports(text: str) -> str:
    """The same text with ports that nobody listens on."""
    with ExitStack() as sockets:
        for port in sorted(set(re.findall(r"(?<=:)8\d{3}\b", text))):
            free = sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
            text = text.replace(f":{port}", f":{free.getsockname()[1]}")
    return text
