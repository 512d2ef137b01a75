"""What arrives is what runs: whole or not at all, once for each id, and unchanged."""

from __future__ import annotations

import hashlib
import shutil

import pytest
from tests.standin import install
from tests.worker.site import Site

from picoclaw_fleet.worker.contract import MAX_TASK_BYTES

TASK = "sum up: 'a' \"b\" $(id) `id` \\ %s\n"
TEXTS = {
    "quotes": "it's \"quoted\" and 'so' on",
    "substitution": "$(touch owned) `touch owned` ${HOME} $HOME $$",
    "newlines at both ends": "\n\n\nbegin\n\nend\n\n\n",
    "emoji": "🦞 grüße — 你好 👩‍👩‍👧 \u202e",
    "a leading dash": "-m --session=x -- -",
    "tabs and blanks": "\t a \t\tb   ",
    "CRLF": "one\r\ntwo\r\n",
    "format": "%s %d %% \\n \\c \\0 \\\\",
    "globs": "* ? [a-z] ~ {a,b}",
    "separators": "a; b & c | d > e < f # g ! h\x01\x7f",
    "words of a shell": "SETTINGS\nNAME=value\nEOF",
}


def digest_of(task: bytes) -> str:
    return hashlib.sha256(task).hexdigest()


@pytest.mark.parametrize("sent", ["nothing", "one byte", "half", "all but one byte"])
def test_a_connection_cut_while_sending_starts_nothing_and_leaves_the_id_free(site: Site, sent: str) -> None:
    task = TASK.encode() * 400
    size = {"nothing": 0, "one byte": 1, "half": len(task) // 2, "all but one byte": len(task) - 1}[sent]
    call = site.announce("j_one", len(task), digest_of(task))
    call.send(b"A=1\n\n" + task[:size])
    call.hang_up()

    assert call.words() == ["truncated", str(size)]
    assert call.exited() == 0
    assert not site.job("j_one").exists()
    assert site.runs == []

    assert site.start("j_one", task).ending().outcome == "exit"
    assert [run.task_sha256 for run in site.runs] == [digest_of(task)]


@pytest.mark.parametrize("sent", [b"", b"A=1", b"A=1\n"])
def test_a_connection_cut_within_the_settings_starts_nothing(site: Site, sent: bytes) -> None:
    call = site.announce("j_one", 4, digest_of(b"task"))
    call.send(sent)
    call.hang_up()

    assert call.words() == ["truncated", "0"]
    assert not site.job("j_one").exists()


def test_tasks_arrive_unchanged(site: Site) -> None:
    for number, (name, text) in enumerate(TEXTS.items()):
        ended = site.start(f"j_{number}", text).ending()
        assert ended.out.endswith(f"\n🦞 done: {text}\n".encode()), name

    assert [run.task_sha256 for run in site.runs] == [digest_of(text.encode()) for text in TEXTS.values()]
    assert not list(site.home.rglob("owned"))


@pytest.mark.parametrize("size", [1, 2999, 3000, 3001])
def test_tasks_of_any_bytes_arrive_unchanged_however_they_are_read(site: Site, size: int) -> None:
    """The shell reads the shorter ones by itself."""
    everything = bytes(range(1, 256)) * 12
    task = everything[: size - 1] + b"\n"

    assert site.start("j_one", task).ending().outcome == "exit"
    assert [run.task_sha256 for run in site.runs] == [digest_of(task)]


def test_the_longest_task_arrives_unchanged(site: Site) -> None:
    unit = "".join(TEXTS.values()).encode()
    task = (b"\n" + unit * (MAX_TASK_BYTES // len(unit) + 1))[: MAX_TASK_BYTES - 1] + b"\n"

    assert site.start("j_one", task).ending().outcome == "exit"
    assert [run.task_sha256 for run in site.runs] == [digest_of(task)]


def test_the_same_id_twice_at_once_is_one_run_with_two_witnesses(site: Site) -> None:
    calls = [site.start("j_one", TASK) for _ in range(2)]

    ended = [call.ending() for call in calls]

    assert {one.outcome for one in ended} == {"exit"}
    assert ended[0].out == ended[1].out
    assert len(site.runs) == 1


def test_the_same_id_again_gives_the_same_answer_without_a_second_run(site: Site) -> None:
    first = site.start("j_one", TASK).ending()
    second = site.start("j_one", TASK).ending()

    assert first.out == second.out
    assert first.ending.started == second.ending.started
    assert first.ending.ended == second.ending.ended
    assert len(site.runs) == 1


@pytest.mark.parametrize("state", ["running", "ended"])
def test_the_same_id_with_another_task_is_a_conflict(site: Site, state: str) -> None:
    site.busy(60 if state == "running" else 0)
    first = site.start("j_one", TASK)
    site.is_up()
    if state == "ended":
        first.ending()

    assert site.start("j_one", TASK + "!").words() == ["id_conflict"]
    assert site.start("j_one", "x" * len(TASK)).words() == ["id_conflict"]
    assert site.stop("j_one").ending().outcome == ("cancelled" if state == "running" else "exit")
    assert len(site.runs) == 1


def test_an_id_that_begins_another_is_another_job(site: Site) -> None:
    site.busy()
    longer = site.start("j_ab12", TASK)
    shorter = site.start("j_ab1", TASK)
    site.is_up(2)

    assert site.stop("j_ab1").ending().outcome == "cancelled"
    assert shorter.ending().outcome == "cancelled"
    assert [entry.split(".")[0] for entry in site.running] == ["j_ab12"]

    site.stop("j_ab12")
    assert longer.ending().outcome == "cancelled"


def test_without_picoclaw_nothing_starts_and_the_id_stays_free(site: Site) -> None:
    binary = site.home / ".local/bin/picoclaw"
    binary.chmod(0o644)
    assert site.start("j_one", TASK).words() == ["not_installed"]
    binary.unlink()
    assert site.start("j_one", TASK).words() == ["not_installed"]
    assert not site.job("j_one").exists()


def test_a_job_is_attached_to_though_picoclaw_is_not_installed_any_more(site: Site) -> None:
    first = site.start("j_one", TASK).ending()
    (site.home / ".local/bin/picoclaw").unlink()

    assert site.start("j_one", TASK).ending().out == first.out


def test_settings_that_leave_no_room_for_a_task_are_told_by_the_exit_status(site: Site) -> None:
    ended = site.start("j_one", TASK, settings={"LARGE": "x" * 131_072}).ending()

    assert (ended.outcome, ended.ending.exit_status) == ("exit", 126)
    assert ended.err
    assert site.runs == []


def test_a_setting_may_have_any_name_and_any_text(site: Site) -> None:
    names = ("FIRST", "id", "task", "picoclaw", "blocks", "nl", "settings", "detach", "fleet", "self", "name")
    value = "a 'b' \"c\" $(d) `e` \\ = %s  "
    site.knobs(exec="".join(f'printf "%s\n" "${name}";' for name in names), reply="{output}")

    ended = site.start("j_one", TASK, settings=dict.fromkeys(names, value)).ending()

    assert ended.answer.splitlines() == [value] * len(names)
    assert [run.session for run in site.runs] == [f"agent:main:fleet-{site.tag}j_one"]
    assert [run.task_sha256 for run in site.runs] == [digest_of(TASK.encode())]


def test_settings_can_not_reach_the_mark_nor_the_workspace(site: Site) -> None:
    ended = site.start(
        "j_one", TASK, settings={"PICOFLEET_JOB": "x", "PICOCLAW_AGENTS_DEFAULTS_WORKSPACE": "/"}
    ).ending()

    assert ended.outcome == "exit"
    assert [run.workspace for run in site.runs] == [site.job("j_one") / "workspace"]


def test_picoclaw_gets_the_locale_of_the_host_and_no_time_zone(site: Site) -> None:
    site.env.update(LC_ALL="C.UTF-8", TZ="Europe/Berlin", CDPATH="/tmp:/", IFS="abc")
    site.knobs(exec='echo "$LC_ALL/$TZ/$NO_COLOR"', reply="{output}")

    assert site.start("j_one", TASK).ending().answer == "C.UTF-8//1\n"


def test_each_job_has_a_workspace_with_the_owners_character_but_not_his_memory(site: Site) -> None:
    owners = site.home / ".picoclaw/workspace"
    (owners / "memory").mkdir(parents=True)
    (owners / "sessions").mkdir()
    (owners / "sessions/old.jsonl").write_text("{}")
    (owners / "AGENT.md").write_text("be brief")
    (owners / "memory/MEMORY.md").write_text("secret")
    site.knobs(
        exec="cat AGENT.md; ls memory sessions", reply="{output}", write_files={"left over.txt": "x", "a\\nb": "y"}
    )

    ended = site.start("j_one", TASK).ending()

    assert ended.answer.startswith("be brief")
    assert "MEMORY" not in ended.answer
    assert "old" not in ended.answer
    assert sorted(ended.files) == ["a\\nb", "left over.txt"]
    assert not (owners / "left over.txt").exists()


def test_jobs_work_again_when_somebody_has_removed_their_folders(site: Site) -> None:
    for part in ("jobs", "running"):
        (site.folder / part).rmdir()

    assert site.start("j_one", TASK).ending().outcome == "exit"
    for part in ("jobs", "claims", "blank"):
        shutil.rmtree(site.folder / part)
        assert site.start(f"j_without_{part}", TASK).ending().outcome == "exit"


@pytest.mark.parametrize("version", ["0.1.2", "0.2.4", "0.2.9"])
def test_each_version_answers_alike(site: Site, version: str) -> None:
    install(site.home, version=version, knobs={"log": "runs", "chatty": True})

    assert site.start("j_one", TASK).ending().answer == f"done: {TASK}"
    assert [run.session for run in site.runs] == [f"agent:main:fleet-{site.tag}j_one"]
