"""Commands about jobs: jobs, logs, cancel."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from picoclaw_fleet.cli import exit_codes
from picoclaw_fleet.cli.exit_codes import ExitCode
from picoclaw_fleet.cli.options import JSON_LINES, common, json_option, lines_option, quiet_option, with_fleet
from picoclaw_fleet.cli.output import (
    command,
    print_event,
    print_json,
    print_notices,
    print_table,
    print_version,
    say,
    trouble,
)
from picoclaw_fleet.cli.work import carry_out
from picoclaw_fleet.errors import State

if TYPE_CHECKING:
    from picoclaw_fleet.fleet import Fleet
    from picoclaw_fleet.results import BatchResult, JobEntry, JobResult, JobsResult

STATES = tuple(state.value for state in State)

_AS_LAST_HEARD = (
    "What is queued or running is listed as last heard of; no host was asked. "
    "picoclaw-fleet logs ID asks, and sets going what nobody works on."
)


@click.command()
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--host", default="", metavar="NAME", help="Only those sent to this host.")
@click.option("--batch", "batch_id", default="", metavar="BATCH", help="Only those of this batch.")
@click.option("--offset", type=click.IntRange(0), default=0, metavar="N", help="Leave out so many of the newest.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="List so many.")
@json_option
@common
def jobs(
    state: str | None, host: str, batch_id: str, offset: int, limit: int, as_json: bool, config: str | None
) -> None:
    """List jobs, newest first.

    Those of this machine, whoever started them, for 30 days, as last heard of: `logs` asks the hosts.

    \b
    Examples:
      picoclaw-fleet jobs --state failed
      picoclaw-fleet jobs --batch b_0123456789ab --json
    """

    async def look(fleet: Fleet) -> JobsResult:
        return await fleet.jobs(state=state or "", host=host, batch_id=batch_id, offset=offset, limit=limit)

    result = with_fleet(config, look)
    if any(not State(job.state).finished for job in result.jobs):
        result.notices.append(_AS_LAST_HEARD)
    if as_json:
        print_json(result)
        return
    if result.jobs:
        _print_jobs(result.jobs)
    say(result.summary)
    print_notices(result.notices)
    if result.next_offset is not None:
        asked = {
            "--state": state,
            "--host": host,
            "--batch": batch_id,
            "--limit": limit,
            "--offset": result.next_offset,
        }
        words = [str(word) for option in asked.items() if option[1] for word in option]
        say(f"Older ones: {command('jobs', *words)}")


@click.command(epilog=f"{JSON_LINES}\n\n{exit_codes.TABLE}")
@click.argument("scope_id", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Wait for the end first, with live progress.")
@quiet_option
@lines_option
@common
def logs(scope_id: str, follow: bool, quiet: bool, as_json: bool, config: str | None) -> None:
    """Print what a job or a batch has printed.

    ID is a job (j_...) or a batch (b_...), of which the jobs that have ended are printed. Also the way back to work
    that was left running: with --follow. Naming what was queued when its command ended sets it going again. What is
    not over gets a few seconds, in which its host is asked, or it is set going; --follow stays with it.
    """

    async def look(fleet: Fleet) -> JobResult | BatchResult:
        from picoclaw_fleet.cli.follow import Scope

        scope = Scope.of(scope_id)
        return await fleet.result(scope.job_id, scope.batch_id)

    is_batch = scope_id.startswith("b_")
    code = carry_out(config, look, batch=is_batch, glance=not follow, quiet=quiet or not follow, as_json=as_json)
    sys.exit(code if follow or code is ExitCode.INTERRUPTED else ExitCode.OK)


@click.command(epilog=exit_codes.TABLE)
@click.argument("scope_ids", metavar="ID...", nargs=-1, required=True)
@lines_option
@common
def cancel(scope_ids: tuple[str, ...], as_json: bool, config: str | None) -> None:
    """Stop jobs, or what is unfinished of batches.

    It is verified on the hosts that nothing of them is left. What they printed so far is kept. Where a host can't be
    reached it is done at the next contact.
    """

    async def stop(fleet: Fleet) -> list[JobEntry]:
        from picoclaw_fleet.cli.follow import Scope

        if as_json:
            print_version()
        jobs: list[JobEntry] = []
        for scope in map(Scope.of, scope_ids):
            result = await fleet.cancel(scope.job_id, scope.batch_id)
            jobs += result.jobs
            if as_json:
                print_event("result", result)
            else:
                say(f"{scope}: {result.summary}")
                print_notices(result.notices)
        return jobs

    jobs = with_fleet(config, stop)
    if jobs and not as_json:
        _print_jobs(jobs)
    unfinished = [job for job in jobs if not State(job.state).finished]
    for job in unfinished:
        why = trouble(job, job.host or "") if job.reason else "It is not stopped yet."
        say(f"{job.host or 'no host'} {job.job_id}: {why}")
    sys.exit(ExitCode.UNREACHABLE if unfinished else ExitCode.OK)


def _print_jobs(entries: list[JobEntry]) -> None:
    rows = [
        (
            job.job_id,
            job.batch_id,
            job.host,
            job.state,
            job.reason,
            job.created_at.astimezone().strftime("%Y-%m-%d %H:%M:%S") if job.created_at else None,
            None if job.duration_seconds is None else f"{job.duration_seconds:g} s",
            job.task,
        )
        for job in entries
    ]
    print_table(("job", "batch", "host", "state", "reason", "asked for", "took", "task"), rows, state=3)
