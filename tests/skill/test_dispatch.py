"""dispatch.sh: one task, one host, one answer."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from shutil import which

import anyio
import pytest
from tests.servers import ClientKey, OpenSshServer
from tests.skill.desk import GONE, SCRIPTS, SECONDS, Desk
from tests.skill.watch import Watch
from tests.skill.worker import Worker
from tests.standin import API_KEY
from tests.worker.site import processes_with, wait_for_exit
from tests.worker.test_runner_disk import mounted, only_root

from picoclaw_fleet.text.secret_shapes import KEY_SHAPES


async def test_each_outcome_has_its_exit_code_on_every_kind_of_host(desk: Desk, any_worker: Worker) -> None:
    missing = await desk.run("dispatch.sh", *any_worker.login, "try")
    assert (missing.status, ": not_installed: " in missing.err) == (4, True), missing

    any_worker.with_picoclaw(stderr_bytes="a warning\n")
    answered = await desk.run("dispatch.sh", *any_worker.login, "count the sheep\n'$(id)' \"`id`\" \\n é")
    assert (answered.status, answered.out) == (0, "done: count the sheep\n'$(id)' \"`id`\" \\n é\n"), answered
    assert "a warning" in answered.err

    any_worker.knobs(exit=3)
    failed = await desk.run("dispatch.sh", *any_worker.login, "try")
    assert (failed.status, "failed (exit_code): PicoClaw ended with status 3" in failed.err) == (1, True), failed

    any_worker.knobs(partial="half of it", slow=30)
    late = await desk.run("dispatch.sh", *any_worker.login, "dawdle", 1)
    assert (late.status, late.out.split("---")[0].strip()) == (124, "half of it"), late
    assert "timed_out (timeout): it was stopped after 1 s" in late.err

    assert (any_worker.jobs(), desk.leftovers) == ([], [])


async def test_a_task_that_comes_over_stdin_is_in_no_argument_but_picoclaws_own(desk: Desk, worker: Worker) -> None:
    worker.with_picoclaw()
    with Watch("an Easter egg") as seen:
        done = await desk.run("dispatch.sh", *worker.login, "-", stdin=b"an Easter egg\n")

    assert (done.status, done.out) == (0, "done: an Easter egg\n\n")
    assert [command for command in seen.commands if "picoclaw agent -s" not in command] == []


async def test_a_long_task_arrives_whole(desk: Desk, worker: Worker) -> None:
    worker.with_picoclaw()
    task = "x" * 119_999 + "\n"

    done = await desk.run("dispatch.sh", *worker.login, "-", stdin=task.encode())

    assert done.status == 0
    assert done.out == f"done: {task}\n"


@pytest.mark.parametrize(
    ("task", "reason"), [(b" \n\t", "bad_task"), (b"nul\0", "bad_task"), (b"x" * 120_001, "too_large")]
)
async def test_a_task_that_cannot_be_told_is_refused_before_any_host_is_touched(
    desk: Desk, task: bytes, reason: str
) -> None:
    done = await desk.run("dispatch.sh", "203.0.113.1", "nobody", "-", stdin=task)

    assert done.status == 2
    assert reason in done.err


@pytest.mark.parametrize("seconds", ["0", "x", "86401", "-1", "1.5", "9999999999999999999999"])
async def test_a_timeout_has_to_be_a_number_of_seconds(desk: Desk, seconds: str) -> None:
    done = await desk.run("dispatch.sh", "203.0.113.1", "nobody", "a task", seconds)
    assert done.status == 2
    assert "1 to 86400" in done.err


async def test_a_command_of_picoclaws_is_sent_as_a_task(desk: Desk, worker: Worker) -> None:
    worker.with_picoclaw()
    done = await desk.run("dispatch.sh", *worker.login, "/show model")
    assert done.out == "done: Task: /show model\n"
    assert '"Task: ..."' in done.err


async def test_an_answer_is_told_from_banner_and_logs_and_is_made_harmless(desk: Desk, worker: Worker) -> None:
    answer = f"first\x1b[31m red\x1b[0m\n🦞 second\u202e\x07\U000e0041 {API_KEY} sk-abcdefghijklmnopqrst\r\nlast"
    noise = "\r\n╔═╗\r\n12:00:00 WRN agent x.go:1 > careful\n"
    worker.with_picoclaw(stdout_bytes=f"{noise}\n🦞 {answer}\n".encode())

    done = await desk.run("dispatch.sh", *worker.login, "say it", ANTHROPIC_API_KEY=API_KEY)

    assert done.out == "first red\n🦞 second [secret] [secret]\nlast\n"


async def test_no_secret_comes_back_that_the_config_refers_to_or_that_looks_like_a_key(
    desk: Desk, worker: Worker
) -> None:
    desk.defaults["env"] = {"DB_PASSWORD": "${THE_PASSWORD}", "REGION": "north-west"}
    desk.write()
    keys = [sign + "A1" * (8 if sign in ("AKIA", "ASIA") else 16) for sign in KEY_SHAPES if sign != "xox"]
    keys += ["xoxb-0123456789", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"]
    escaped = [rf"\n{key}" for key in keys]
    plain = "risk-management-framework-of-ours north-west"
    worker.with_picoclaw(stdout_bytes="\n".join(["", "🦞 correct horse", plain, *keys, *escaped, ""]).encode())

    done = await desk.run("dispatch.sh", *worker.login, "say it", THE_PASSWORD="correct horse")

    assert done.out.splitlines() == ["[secret]", plain, *["[secret]"] * len(keys), *[r"\n[secret]"] * len(keys)]


async def test_what_cannot_be_told_apart_is_given_back_whole(desk: Desk, worker: Worker) -> None:
    worker.with_picoclaw(stdout_bytes="no lobster here\n")
    done = await desk.run("dispatch.sh", *worker.login, "say it")
    assert done.status == 0
    assert done.out == "no lobster here\n"
    assert "could not be told apart" in done.err


@pytest.mark.parametrize(("answer", "status"), [(" \n", 1), ("It said:The model returned an empty response.", 0)])
async def test_an_answer_is_none_only_where_it_is_blank_or_begins_as_picoclaws_excuses(
    desk: Desk, worker: Worker, answer: str, status: int
) -> None:
    worker.with_picoclaw(reply=answer)
    done = await desk.run("dispatch.sh", *worker.login, "say it")
    assert done.status == status, done


async def test_a_name_of_the_config_is_that_host_whoever_logs_in(desk: Desk, worker: Worker) -> None:
    stranger = await desk.run("dispatch.sh", worker.host.name, "nobody-of-that-name", "try")
    assert (stranger.status, ": auth_failed: " in stranger.err) == (3, True), stranger


@only_root
async def test_without_room_for_temporary_files_here_no_host_is_blamed(desk: Desk, tmp_path: Path) -> None:
    desk.write()
    small = tmp_path / "small"
    small.mkdir()
    with mounted(small, "-t", "tmpfs", "-o", "size=4k", "none"):
        (small / "full").write_bytes(b"x" * os.statvfs(small).f_bavail * os.statvfs(small).f_bsize)
        done = await desk.run("dispatch.sh", "203.0.113.1", "nobody", "a task", TMPDIR=str(small))
    words = f"disk_full: there is no room for temporary files in {small} of this machine.\n"
    assert (done.status, done.out, done.err) == (6, "", f"dispatch.sh: {words}")


async def test_a_host_that_cannot_be_reached_or_trusted_gets_nothing(
    desk: Desk, worker: Worker, tmp_path: Path
) -> None:
    stranger = ClientKey.make(tmp_path / "stranger")
    desk.add(worker.host, **GONE)
    desk.add(worker.host, name="changed", host_key=" ".join(stranger.public.split()[:2]))
    desk.add(worker.host, name="new", host_key="", known_hosts=str(desk.home / "known_hosts"))
    desk.add(worker.host, name="closed", ssh_key=str(stranger.path))
    reasons = {
        "gone": "unreachable",
        "changed": "host_key_changed",
        "new": "host_key_unknown",
        "closed": "auth_failed",
    }
    for name, reason in reasons.items():
        done = await desk.run("dispatch.sh", name, worker.host.user, "try")
        assert (done.status, done.out, f": {reason}: " in done.err) == (3, "", True), done


async def test_a_host_that_is_not_in_the_config_is_reached_by_options(desk: Desk, worker: Worker) -> None:
    worker.with_picoclaw()
    known = desk.home / "known"
    known.write_text(f"[{worker.host.address}]:{worker.host.port} {worker.host.host_key}\n")
    options = f"-F none -p {worker.host.port} -i {worker.host.ssh_key} -o UserKnownHostsFile={known}"
    done = await desk.run(
        "dispatch.sh", *worker.login, "try", PICOCLAW_SSH_OPTIONS=options, PICOCLAW_FLEET_CONFIG="/nonexistent"
    )
    assert (done.status, done.out) == (0, "done: try\n"), done


async def test_a_runner_that_a_power_cut_has_emptied_is_put_there_anew(desk: Desk, worker: Worker) -> None:
    worker.with_picoclaw()
    await desk.run("dispatch.sh", *worker.login, "try")
    (runner,) = worker.home.glob(".picoclaw/fleet/*/runner-*")
    runner.write_bytes(b"")

    done = await desk.run("dispatch.sh", *worker.login, "try again")
    assert (done.status, done.out) == (0, "done: try again\n"), done


async def test_a_full_host_has_no_slot(desk: Desk, worker: Worker) -> None:
    worker.with_picoclaw(exec="echo up >$HOME/up; cat $HOME/go")
    os.mkfifo(worker.home / "up")
    os.mkfifo(worker.home / "go")
    desk.add(worker.host, name="small", slots=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(desk.run, "dispatch.sh", "small", worker.host.user, "long")
        with anyio.fail_after(SECONDS):
            await anyio.Path(worker.home / "up").read_text()
        done = await desk.run("dispatch.sh", "small", worker.host.user, "short")
        assert (done.status, "no_slot" in done.err) == (5, True), done
        await anyio.Path(worker.home / "go").write_text("")


@pytest.mark.parametrize("host", ["", "a/b", "../b", "a b", "a\nb"])
async def test_what_can_be_no_host_is_said_to_be_none(desk: Desk, host: str) -> None:
    desk.write()
    words = "usage: HOST has to be a name of the fleet config or an address.\n"
    for script, more in (("dispatch.sh", ["a task"]), ("deploy.sh", ["amd64"]), ("teardown.sh", [])):
        done = await desk.run(script, host, "me", *more)
        assert (done.status, done.out, done.err) == (2, "", f"{script}: {words}")


async def test_a_lost_connection_is_taken_up_again_and_the_task_runs_once(
    tmp_path: Path, key: ClientKey, desk: Desk
) -> None:
    async with OpenSshServer(tmp_path / "sshd", authorized_key=key.public) as server:
        desk.add(server.host("one", ssh_key=key.path))
        worker = Worker(server.host("one", ssh_key=key.path), server.home())
        worker.with_picoclaw(exec="echo up >$HOME/up; cat $HOME/go", log="runs")
        os.mkfifo(worker.home / "up")
        os.mkfifo(worker.home / "go")
        results: list[str] = []

        async def dispatch() -> None:
            results.append((await desk.run("dispatch.sh", *worker.login, "hold on")).out)

        with anyio.fail_after(SECONDS):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(dispatch)
                await anyio.Path(worker.home / "up").read_text()
                for pid in server.descendants():
                    if _command(pid).startswith("sshd"):
                        with suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)
                await server.logged("Accepted publickey", times=2)
                await anyio.Path(worker.home / "go").write_text("")

    assert results == ["done: hold on\n"]
    assert len((worker.home / "runs").read_text().splitlines()) == 1


async def test_a_host_that_has_gone_is_asked_every_half_minute_until_somebody_ends_that(
    tmp_path: Path, key: ClientKey, desk: Desk
) -> None:
    sleep = tmp_path / "bin/sleep"
    sleep.parent.mkdir()
    sleep.write_text(f'#!/bin/sh\ncase $1 in 1 | 2 | 4 | 8 | 16 | 32 | 64) ;; *) exec {which("sleep")} "$1" ;; esac\n')
    sleep.chmod(0o755)
    env = desk.env | {"PATH": f"{sleep.parent}:{desk.env['PATH']}"}
    async with OpenSshServer(tmp_path / "sshd", authorized_key=key.public) as server:
        desk.add(server.host("one", ssh_key=key.path))
        worker = Worker(server.host("one", ssh_key=key.path), server.home())
        worker.with_picoclaw(exec="echo up >$HOME/up; cat $HOME/go")
        os.mkfifo(worker.home / "up")
        process = await anyio.open_process(
            [str(SCRIPTS / "dispatch.sh"), *worker.login, "hold on", "600"], env=env, stdout=subprocess.DEVNULL
        )
        with anyio.fail_after(SECONDS):
            await anyio.Path(worker.home / "up").read_text()
    async with process:
        assert process.stderr is not None
        said = b""
        with anyio.fail_after(SECONDS):
            async for piece in process.stderr:
                said += piece
                if said.count(b"trying again") >= 7 and process.returncode is None:
                    process.terminate()
            assert await process.wait() == 143
    pauses = re.findall(r"trying again in (\d+) s", said.decode())
    assert pauses[:7] == ["1", "2", "4", "8", "16", "32", "32"]
    assert said.decode().endswith("whether it was stopped is not known; its guard ends it in time.\n")


async def test_a_terminated_dispatch_stops_its_job(desk: Desk, worker: Worker) -> None:
    worker.with_picoclaw(exec="echo up >$HOME/up", slow=60)
    os.mkfifo(worker.home / "up")
    with anyio.fail_after(SECONDS):
        process = await anyio.open_process(
            [str(SCRIPTS / "dispatch.sh"), *worker.login, "long"],
            env=desk.env,
            stdout=subprocess.DEVNULL,
        )
        async with process:
            await anyio.Path(worker.home / "up").read_text()
            process.terminate()
            assert process.stderr is not None
            said = b"".join([piece async for piece in process.stderr]).decode()
            assert await process.wait() == 143
    (job,) = worker.jobs()
    assert said == f"dispatch.sh: {worker.host.address}: stopping {job} on the host.\n"
    assert (worker.fleet / "jobs" / job / "outcome").read_text().startswith("cancelled")
    assert (worker.fleet / "jobs" / job / "closed").exists()
    assert desk.leftovers == []
    assert wait_for_exit(processes_with(f"HOME={desk.home}")) == []


async def test_a_hostile_host_cannot_run_anything_here(desk: Desk, worker: Worker) -> None:
    """It knows the nonce, and answers with what bash's arithmetic would evaluate."""
    trap = f"x[$(touch${{IFS}}{desk.home}/trapped)]"
    lines = [f"ended exit {trap} - stopped 1 2 3 - {' '.join([trap] * 5)}", f"running {trap}", f"memory {trap} {trap}"]
    lines += [f"disk a b c {trap}", "host h b 1 1", "machine Linux \\033[31mx", "picoclaw p", "absent", "end"]
    says = "; ".join(f"printf '%b\\n' \"$1 {line.replace('$', chr(92) + '$')}\"" for line in lines)
    worker.home.joinpath(".bashrc").write_text(f'answer() {{ {says}; }}\nsh() {{ answer "$4"; }}\n')

    looked = await desk.run("fleet-status.sh")
    done = await desk.run("dispatch.sh", *worker.login, "try", 1)

    assert "one " in looked.out and "\033" not in looked.out, looked
    assert done.status == 7, done
    assert not (desk.home / "trapped").exists()


async def test_files_of_the_worker_are_named_and_stay(desk: Desk, worker: Worker) -> None:
    worker.with_picoclaw(write_files={"report.md": "all is well"})
    done = await desk.run("dispatch.sh", *worker.login, "write")
    (job,) = worker.jobs()
    assert "report.md" in done.err
    assert (worker.fleet / "jobs" / job / "workspace/report.md").read_text() == "all is well"


async def test_the_environment_of_the_config_reaches_the_worker(desk: Desk, worker: Worker) -> None:
    worker.with_picoclaw(exec="echo $GREETING ${#SECRET_WORD} letters", reply="{output}")
    desk.add(worker.host, name="env", env={"GREETING": "hello", "SECRET_WORD": "${WORD}"})
    done = await desk.run("dispatch.sh", "env", worker.host.user, "greet", WORD="swordfish")
    assert done.out == "hello 9 letters\n\n"


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""
