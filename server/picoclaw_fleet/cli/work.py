"""Commands that give out work: dispatch and map."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal

import click

from picoclaw_fleet.cli import exit_codes
from picoclaw_fleet.cli.exit_codes import ExitCode
from picoclaw_fleet.cli.options import (
    JSON_LINES,
    common,
    complete_hosts,
    lines_option,
    quiet_option,
    with_fleet,
)
from picoclaw_fleet.cli.output import print_version
from picoclaw_fleet.cli.tasks import read_tasks, read_text

if TYPE_CHECKING:
    from picoclaw_fleet.fleet import Fleet
    from picoclaw_fleet.results import BatchResult, JobResult

_timeout = click.option(
    "--timeout",
    "--timeout-seconds",
    "timeout_seconds",
    type=int,
    default=120,
    show_default=True,
    metavar="SECONDS",
    help="When PicoClaw is stopped on its host.",
)
_deploy_missing = click.option(
    "--deploy-missing/--no-deploy-missing",
    default=True,
    show_default=True,
    help="Put PicoClaw first where no host that fits has it.",
)
_detach = click.option(
    "--detach", is_flag=True, help="Leave as soon as every task runs on a host; `logs` has the rest."
)


@click.command(epilog=f"{JSON_LINES}\n\n{exit_codes.TABLE}")
@click.argument("task")
@click.option(
    "--host", default="", metavar="SELECTOR", shell_complete=complete_hosts, help="Where; else the least busy."
)
@_timeout
@_deploy_missing
@_detach
@quiet_option
@lines_option
@common
def dispatch(
    task: str,
    host: str,
    timeout_seconds: int,
    deploy_missing: bool,
    detach: bool,
    quiet: bool,
    as_json: bool,
    config: str | None,
) -> None:
    """Give one TASK to one worker, and print its answer.

    The worker is an AI agent that knows nothing but the task: say everything it needs. TASK may be - to read it from
    stdin. The task runs detached on its host: it outlives this command, and is never run twice.

    \b
    Examples:
      picoclaw-fleet dispatch 'Which kernel runs here, and is it still supported?'
      picoclaw-fleet dispatch --host web1 --timeout 600 - <task.txt >answer.txt
    """
    text = read_text("-") if task == "-" else task

    async def begin(fleet: Fleet) -> JobResult:
        return await fleet.dispatch(
            text, host=host, timeout_seconds=timeout_seconds, wait_seconds=0, deploy_missing=deploy_missing
        )

    sys.exit(carry_out(config, begin, batch=False, detach=detach, quiet=quiet, as_json=as_json))


@click.command("map", epilog=f"{JSON_LINES}\n\n{exit_codes.TABLE}")
@click.argument("tasks", nargs=-1)
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    metavar="FILE",
    help="Tasks, one per line or JSONL; - for stdin, as the task - is too. Repeatable.",
)
@click.option(
    "--hosts", multiple=True, metavar="SELECTOR", shell_complete=complete_hosts, help="Where; else all. Repeatable."
)
@click.option(
    "--mode",
    type=click.Choice(["spread", "broadcast"]),
    default="spread",
    show_default=True,
    help="spread: each task once, wherever a slot is free. broadcast: each task on each of the named hosts.",
)
@_timeout
@click.option("--max-parallel", type=int, default=0, metavar="N", help="Jobs at once; else the hosts' slots decide.")
@click.option("--rerun", default="", metavar="BATCH", help="Do again what did not succeed in that batch.")
@_deploy_missing
@_detach
@quiet_option
@lines_option
@common
def map_tasks(
    tasks: tuple[str, ...],
    files: tuple[str, ...],
    hosts: tuple[str, ...],
    mode: Literal["spread", "broadcast"],
    timeout_seconds: int,
    max_parallel: int,
    rerun: str,
    deploy_missing: bool,
    detach: bool,
    quiet: bool,
    as_json: bool,
    config: str | None,
) -> None:
    """Give many TASKS to the fleet. Prints each answer as it comes.

    Each task comes back exactly once with what became of it; a host that fails doesn't stop the others. The task -
    stands for those on stdin. There and in files, a line that begins with { is an object with task, and optionally
    host and timeout_seconds; any other line is a task.

    \b
    Examples:
      picoclaw-fleet map 'Review a.py' 'Review b.py'
      picoclaw-fleet map --mode broadcast --hosts tag:web 'Is the disk healthy?'
      picoclaw-fleet map -f tasks.txt --json >results.jsonl
      find . -name '*.md' | sed 's/^/Proofread /' | picoclaw-fleet map -
      picoclaw-fleet map --rerun b_0123456789ab
    """
    assignments = read_tasks(tasks, files)

    async def begin(fleet: Fleet) -> BatchResult:
        return await fleet.dispatch_many(
            assignments,
            hosts=hosts,
            mode=mode,
            timeout_seconds=timeout_seconds,
            wait_seconds=0,
            max_parallel=max_parallel,
            deploy_missing=deploy_missing,
            rerun=rerun,
        )

    sys.exit(carry_out(config, begin, batch=True, detach=detach, quiet=quiet, as_json=as_json))


def carry_out(
    config: str | None,
    begin: Callable[[Fleet], Awaitable[JobResult | BatchResult]],
    *,
    batch: bool,
    detach: bool = False,
    glance: bool = False,
    quiet: bool,
    as_json: bool,
) -> ExitCode:
    """Begins with work, stays with it, and prints what comes of it.

    Args:
        config: The fleet config's path, or None.
        begin: Starts the jobs, or looks them up, without waiting for them.
        batch: Whether they are a batch.
        detach: Whether to leave as soon as none is queued.
        glance: Whether to leave after a few seconds.
        quiet: Whether to show no progress.
        as_json: Whether to print JSON lines.
    """
    from picoclaw_fleet.cli.follow import Follower, Leave
    from picoclaw_fleet.cli.live import open_screen
    from picoclaw_fleet.cli.readers import JsonReader, TextReader, finish

    if as_json:
        print_version()
    leave = Leave.AFTER_A_GLANCE if glance else Leave.WHEN_STARTED if detach else Leave.AT_THE_END
    reader = JsonReader() if as_json else TextReader(titles=batch)

    async def run(fleet: Fleet) -> ExitCode:
        follower = Follower(fleet, open_screen(quiet=quiet), reader, leave=leave)
        followed = await follower.follow(lambda: begin(fleet))
        finish(followed, as_json=as_json)
        return ExitCode.INTERRUPTED if followed.interrupted else exit_codes.of_jobs(followed.jobs)

    return with_fleet(config, run)
