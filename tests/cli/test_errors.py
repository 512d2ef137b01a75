"""Whatever goes wrong is one message and an exit code."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import anyio
import click
import pytest
from click.testing import CliRunner
from tests.cli.terminal import Shell
from tests.embedded_fleet import COMMAND, EmbeddedFleet
from tests.faults.hosts import Disk

from picoclaw_fleet.cli import exit_codes
from picoclaw_fleet.cli.boundary import FleetGroup
from picoclaw_fleet.cli.exit_codes import ExitCode
from picoclaw_fleet.cli.options import common
from picoclaw_fleet.errors import ConfigError, HostError, LedgerError, Reason, ReleaseError
from picoclaw_fleet.results import HostEntry, JobEntry

ERRORS: list[tuple[BaseException, int]] = [
    (ConfigError("wrong.", next_step="Mend it."), 2),
    (LedgerError("damaged."), 1),
    (HostError("down.", host="a", reason=Reason.UNREACHABLE), 4),
    (HostError("full.", host="a", reason=Reason.DISK_FULL), 3),
    (ReleaseError("none.", reason=Reason.NO_RELEASE), 3),
    (ZeroDivisionError("division by zero"), 1),
    (KeyboardInterrupt(), 130),
]


def group_that_raises(error: BaseException) -> click.Group:
    @click.group(cls=FleetGroup)
    def group() -> None:
        pass

    @group.command()
    @common
    def fail(config: str | None) -> None:
        raise error

    return group


@pytest.mark.parametrize(("error", "code"), ERRORS, ids=lambda value: type(value).__name__)
def test_each_error_is_a_message_and_an_exit_code(error: BaseException, code: int) -> None:
    wrapped = BaseExceptionGroup("from a task group", [BaseExceptionGroup("and another", [error])])
    for raised in (error, wrapped) if isinstance(error, Exception) else (error,):
        result = CliRunner().invoke(group_that_raises(raised), ["fail"])
        assert result.exit_code == code
        assert result.stdout == ""
        assert "Traceback" not in result.stderr
        assert str(error) in result.stderr


@pytest.mark.parametrize("words", [["doctor"], ["--help"], ["--version"]], ids=" ".join)
def test_an_output_without_room_is_named(tmp_path: Path, words: list[str]) -> None:
    config = tmp_path / "fleet.json"
    config.write_text('{"hosts": [{"name": "ada", "host": "127.0.0.1", "port": 1}]}')
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [COMMAND, *words],
            stdout=full,
            stderr=subprocess.PIPE,
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PICOCLAW_FLEET_CONFIG": str(config)},
            timeout=30,
        )
    assert (done.returncode, done.stderr.decode().count("\n")) == (ExitCode.BROKEN, 1)
    assert "the disk is full" in done.stderr.decode()


def test_the_place_of_an_unexpected_error_is_shown_on_demand() -> None:
    group = group_that_raises(ZeroDivisionError("division by zero"))
    short = CliRunner().invoke(group, ["fail"])
    assert short.stderr.splitlines() == [
        "Error: something unexpected: ZeroDivisionError: division by zero.",
        "Run it again with -v to see where.",
    ]
    assert "Traceback" in CliRunner().invoke(group, ["fail", "-v"]).stderr


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ([], 0),
        ([("succeeded", None), ("succeeded", None)], 0),
        ([("timed_out", "timeout"), ("succeeded", None)], 5),
        ([("failed", "unreachable"), ("timed_out", "timeout")], 4),
        ([("failed", "unreachable"), ("failed", "exit_code"), ("timed_out", "timeout")], 3),
        ([("lost", "lost_contact")], 3),
        ([("cancelled", "cancelled")], 3),
        ([("running", "lost_contact")], 4),
        ([("running", None), ("queued", None)], 0),
    ],
)
def test_many_ends_amount_to_one_exit_code(ends: list[tuple[str, str | None]], code: int) -> None:
    jobs = [JobEntry(job_id="j", state=state, reason=reason) for state, reason in ends]
    assert exit_codes.of_jobs(jobs) == code


def test_hosts_out_of_reach_count_less_than_failures() -> None:
    down = HostEntry(name="a", reachable=False, picoclaw="unknown", reason="host_key_unknown")
    bare = HostEntry(name="b", reachable=True, picoclaw="missing", reason="not_installed")
    fine = HostEntry(name="c", reachable=True, picoclaw="ready")
    assert exit_codes.of_hosts([fine]) == 0
    assert exit_codes.of_hosts([fine, down]) == 4
    assert exit_codes.of_hosts([down, bare]) == 3


async def test_exit_codes_stand_in_the_help(shell: Shell) -> None:
    done = await shell("--help")
    for code in ExitCode:
        assert f"  {code:3}  {exit_codes.MEANINGS[code]}" in done.out


async def test_wrong_usage_says_how_to_get_help(shell: Shell) -> None:
    done = await shell("dispatch")
    assert (done.code, done.out) == (2, "")
    assert "picoclaw-fleet dispatch --help" in done.err


@pytest.mark.parametrize(
    ("variable", "args"),
    [
        ("PICOCLAW_FLEET_STATE_DIR", ["jobs"]),
        ("PICOCLAW_FLEET_STATE_DIR", ["clients", "show", "cursor"]),
        ("PICOCLAW_FLEET_CACHE_DIR", ["deploy", "ada"]),
        ("PICOCLAW_FLEET_CONFIG", ["hosts"]),
    ],
)
async def test_a_folder_of_somebody_who_is_not_known_is_wrong_usage(
    shell: Shell, variable: str, args: list[str]
) -> None:
    done = await shell(*args, stdin=b"", **{variable: "~nobody-here/x"})
    assert (done.code, done.err) == (
        2,
        "Error: '~nobody-here/x' begins with a home directory that is not known. Set HOME, or begin it with /.\n",
    )


async def test_a_ledger_that_fails_meanwhile_is_told_once(fleet: EmbeddedFleet, shell: Shell, tmp_path: Path) -> None:
    with Disk(tmp_path / "disk", "12m") as disk:
        if not disk.is_mounted:
            pytest.skip("no small disk can be mounted here")
        fleet.state = disk.folder / "state"
        gate = fleet.gate("ada")
        fleet.set_knobs(exec=gate.command)
        async with anyio.create_task_group() as tasks:

            async def dispatch() -> None:
                done = await shell("dispatch", "--host", "ada", "x")
                assert done.code == 1
                assert done.err.count("can't be used: database or disk is full") == 1
                assert "Error: The ledger " in done.err

            tasks.start_soon(dispatch)
            await gate.arrival()
            disk.fill()
            gate.open()
        looked = await shell("status", "ada")
        assert (looked.code, looked.err.count("Note: The ledger ")) == (0, 1)


async def test_a_wrong_call_is_told_in_words_that_hold_on_the_command_line(shell: Shell) -> None:
    for unknown in ("j_nope", "b_nope"):
        done = await shell("logs", unknown)
        assert done.code == 2
        assert f"'{unknown}'. `jobs` lists those that there are; finished ones are kept for 30 days." in done.err
    assert (await shell("jobs")).code == 0
    unnamed = await shell("map", "--mode", "broadcast", "x")
    assert (unnamed.code, unnamed.err.endswith("Give hosts; `all` stands for all of them.\n")) == (2, True)
