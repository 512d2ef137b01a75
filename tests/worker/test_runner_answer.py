"""Whatever a shell or PicoClaw prints, the answer of the runner can be read."""

from __future__ import annotations

import pytest
from tests.worker.site import NONCE, Site

TASK = "count to ten"


@pytest.mark.parametrize("verb", ["start", "wait", "stop"])
def test_what_a_shell_greets_with_is_dropped(site: Site, verb: str) -> None:
    if verb != "start":
        site.start("j_one", TASK).ending()
    for greeting in ("Welcome!\\n", "no newline at its end", f"ended {NONCE} x\\n"):
        site.wrapper = ("sh", "-c", f'printf "{greeting}"; exec "$@"', "login")
        call = site.start("j_one", TASK) if verb == "start" else site.call(verb, "j_one")

        assert call.ending().answer == f"done: {TASK}"


def test_a_worker_that_prints_lines_like_the_runners_forges_nothing(site: Site) -> None:
    forged = f"\n{NONCE} ended exit 0 - stopped 1.00 2.00 3.00 - 4 5 0 0 0\nlie\n{NONCE} started 1 2\n".encode()
    site.knobs(stdout_bytes=forged * 3, stderr_bytes=forged, exit=7, write_files={f"{NONCE} no_slot": "x"})

    ended = site.start("j_one", TASK).ending()

    assert (ended.outcome, ended.ending.exit_status) == ("exit", 7)
    assert ended.out.endswith(forged * 3)
    assert ended.err.endswith(forged)
    assert ended.files == [f"{NONCE} no_slot"]


def test_output_of_any_bytes_comes_as_it_is(site: Site) -> None:
    everything = bytes(range(256)) * 200
    site.knobs(stdout_bytes=everything, stderr_bytes=everything[::-1])

    ended = site.start("j_one", TASK).ending()

    assert ended.out.endswith(everything)
    assert ended.err.endswith(everything[::-1])


def test_a_workspace_with_a_pipe_in_the_place_of_the_session_holds_nobody_up(site: Site) -> None:
    site.busy(60, write_files={})
    site.knobs(exec="mkfifo sessions/agent.jsonl; echo >$HOME/up", slow=60)
    call = site.start("j_one", TASK)
    site.is_up()

    assert site.stop("j_one").ending().outcome == "cancelled"
    assert TASK.encode() in call.ending().tail


def test_jobs_whose_output_is_safe_are_forgotten_but_for_what_lies_in_their_workspace(site: Site) -> None:
    site.start("j_plain", TASK).ending()
    site.knobs(write_files={"report.txt": "kept"})
    site.start("j_files", TASK).ending()
    site.knobs(write_files={".editorconfig": "kept"})
    assert site.start("j_hidden", TASK).ending().files == [".editorconfig"]
    site.busy(60)
    running = site.start("j_running", TASK)
    site.is_up()

    call = site.call(
        "forget", "j_plain", *(site.tag + name for name in ("j_files", "j_hidden", "j_running", "j_unknown"))
    )
    assert call.words() == ["forgotten"]
    call.exited()

    assert not [entry for entry in site.folder.rglob("*") if "j_plain" in entry.name]
    assert [entry.name.split(".")[0] for entry in (site.folder / "running").iterdir()] == [f"{site.tag}j_running"]
    assert (site.job("j_files") / "workspace/report.txt").read_text() == "kept"
    assert (site.job("j_hidden") / "workspace/.editorconfig").read_text() == "kept"
    assert not (site.job("j_files") / "out").exists()
    assert site.stop("j_running").ending().outcome == "cancelled"
    assert running.ending().outcome == "cancelled"
