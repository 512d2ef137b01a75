"""Those who are told of jobs, and print them: as text for people, as JSON lines for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import click

from picoclaw_fleet.cli.documents import End, Progress, Started
from picoclaw_fleet.cli.follow import Followed, Scope
from picoclaw_fleet.cli.output import (
    advice,
    command,
    print_event,
    print_notices,
    say,
    say_left,
    state_word,
    styled,
    trouble,
)
from picoclaw_fleet.results import BatchResult, JobEntry, JobResult


class JsonReader:
    """Prints a line of JSON for each event."""

    async def started(self, scope: Scope, total: int) -> None:
        """See Reader."""
        print_event("started", Started(**_named(scope), total=total))

    async def counted(self, counts: Counter[str], elapsed: float) -> None:
        """See Reader."""
        print_event("progress", Progress(counts=counts, elapsed_seconds=round(elapsed, 1)))

    async def ended(self, job: JobResult, rest: AsyncIterator[JobResult]) -> None:
        """Prints the job as the tool job_result returns it: one page of its output, and where the next one begins."""
        print_event("job", job)


class TextReader:
    """Prints what jobs printed, all of it, page by page.

    Args:
        titles: Whether each job gets a line that says whose output follows; else only its answer is printed, or what
            it printed instead of one.
    """

    def __init__(self, *, titles: bool) -> None:
        self._titles = titles

    async def started(self, scope: Scope, total: int) -> None:
        """See Reader."""

    async def counted(self, counts: Counter[str], elapsed: float) -> None:
        """See Reader."""

    async def ended(self, job: JobResult, rest: AsyncIterator[JobResult]) -> None:
        """Prints a job."""
        if self._titles:
            took = f" in {job.duration_seconds:g} s" if job.duration_seconds is not None else ""
            title = f"--- {job.host or 'no host'} {job.job_id}"
            click.echo(f"{styled(title, bold=True)} {state_word(job.state)}{took}")
        show_rest = self._titles or not job.answer
        _print(job, show_rest=show_rest)
        async for page in rest:
            _print(page, show_rest=show_rest)
        if self._titles and job.reason:
            say(f"{job.host or 'no host'} {job.job_id}: {trouble(_advised(job), job.host or '')}")
        if job.files:
            folder = f"~/.picoclaw/fleet/*/jobs/{job.job_id}/workspace/"
            say(f"It left files on {job.host} in {folder}: {', '.join(job.files)}")


def finish(followed: Followed, *, as_json: bool) -> None:
    """Prints how it ended as a whole, and how to go on."""
    result = followed.result
    scope = Scope(batch_id=result.batch_id) if isinstance(result, BatchResult) else Scope(job_id=result.job_id)
    if as_json:
        counts = result.counts if isinstance(result, BatchResult) else None
        notices, next_step = list(followed.notices), result.next_step
        print_event(
            "result",
            End(summary=result.summary, notices=notices, **_named(scope), counts=counts, next_step=next_step),
        )
    else:
        say(result.summary)
        if scope.job_id and not followed.left and (what_to_do := advice(_advised(followed.jobs[0]))):
            say(what_to_do)
        print_notices(followed.notices)
    if followed.left:
        say_left(str(scope), followed.jobs)
    elif scope.batch_id and any(job.state != "succeeded" for job in followed.jobs):
        say(f"What did not succeed, again: {command('map', '--rerun', str(scope))}")


def _advised(job: JobEntry) -> JobEntry:
    """The job without words about how to call a tool for the rest of its output: that has been printed."""
    return job.model_copy(update={"next_step": None}) if job.truncated else job


def _print(page: JobResult, *, show_rest: bool) -> None:
    for text in (page.answer, page.output if show_rest else None):
        if text:
            click.echo(text)


def _named(scope: Scope) -> dict[str, str]:
    return {"batch_id": scope.batch_id} if scope.batch_id else {"job_id": scope.job_id}
