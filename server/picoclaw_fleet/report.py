"""Making results of what is known: jobs, batches and hosts as callers get to see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import accumulate
from typing import Any

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.config.values import canonical_arch
from picoclaw_fleet.errors import State
from picoclaw_fleet.jobs.board import HostView
from picoclaw_fleet.jobs.model import Job
from picoclaw_fleet.jobs.output import PAGE_CHARACTERS, OutputStore, Page
from picoclaw_fleet.results import BatchResult, Counts, HostEntry, HostsResult, JobEntry, JobResult, JobsResult
from picoclaw_fleet.rollout import HostRun, Outcome
from picoclaw_fleet.text.plain_text import one_line
from picoclaw_fleet.text.redaction import Redactor
from picoclaw_fleet.text.wording import with_reason

CALL_CHARACTERS = 40_000
"""At most so much worker output goes into one reply."""

SHOWN_JOBS = 50
"""At most so many jobs of a batch are listed in one reply."""

SHOWN_HOSTS = 100
"""At most so many hosts are listed in one reply to a model: up to 30 KB. Claude Code shows it 25,000 tokens at most."""

GO_ON = "go on. Make the same call again to wait for them."
"""How the notice ends that a deploy or a teardown is not done everywhere."""

_NOT_ALL_FILES = "Not all files are named here; job_result with a job_id names those that the job left."
_NOTED_JOBS = 8
_NOTHING = Page("", "", None, 0)
_SHOWN_NEWS = 10

_TASK_CHARACTERS = 60
_LOOKED_AT = 1000
"""So much of a task is cleaned for the sake of its beginning: enough to see that a key is one, however long it is."""


def job_result(job: Job, outputs: OutputStore, *, offset: int = 0, limit: int = PAGE_CHARACTERS) -> JobResult:
    """One job with a page of its output."""
    notices = list(job.notes)
    page = _page(job, outputs, notices, min(limit, PAGE_CHARACTERS), offset)
    result = JobResult(summary=_sentence(job), notices=notices, **_entry(job, page, job.files))
    if offset and job.state.finished and not (result.answer or result.output or result.truncated):
        result.notices.append(f"There is no output from offset {offset} on.")
    return result


def batch_result(
    batch_id: str, states: Counter[State], shown: Sequence[Job], outputs: OutputStore, *, offset: int = 0
) -> BatchResult:
    """A batch: all counted, the given jobs shown, the same answer only once."""
    total, end = states.total(), offset + len(shown)
    share = min(PAGE_CHARACTERS, CALL_CHARACTERS // max(len(shown), 1))
    entries: list[JobEntry] = []
    first_with: dict[str, str] = {}
    notices = _noted(shown)
    for job in shown:
        files = _fitting(job.files, share // 4)
        if len(files) < len(job.files) and _NOT_ALL_FILES not in notices:
            notices.append(_NOT_ALL_FILES)
        room = share - sum(map(len, files))
        page = _page(job, outputs, notices, room)
        entry = JobEntry(**_entry(job, page, files))
        # Answers that are cut may differ in what isn't shown.
        first = first_with.setdefault(page.answer, job.job_id) if page.answer and not entry.truncated else job.job_id
        if first != job.job_id:
            entry.answer, entry.same_answer_as = None, first
        if not job.state.finished:
            # How to wait is said once, of the batch.
            entry.next_step = None
        entries.append(entry)
    left = states[State.QUEUED] + states[State.RUNNING]
    return BatchResult(
        summary=f"{batch_id}: {_tally(states)}.{_shown(offset, end, total)}",
        notices=notices,
        batch_id=batch_id,
        counts=Counts(total=total, **{state.value: count for state, count in states.items()}),
        jobs=entries,
        next_offset=end if end < total and not left else None,
        next_step=_next_of_batch(batch_id, left, end, total),
    )


def jobs_result(jobs: Sequence[Job], total: int, offset: int) -> JobsResult:
    """A list of jobs without their outputs."""
    end = offset + len(jobs)
    more = end < total
    return JobsResult(
        summary=f"{len(jobs)} of {total} jobs, newest first." if jobs else _none_of(total),
        jobs=list(map(_listed, jobs)),
        total=total,
        next_offset=end if more else None,
        next_step=f"For older ones make the same call with offset={end}." if more else None,
    )


def _none_of(total: int) -> str:
    return f"There are none after the first {total}." if total else "There are no such jobs."


def cancel_result(jobs: Sequence[Job]) -> JobsResult:
    """What became of jobs that were to be stopped."""
    states = Counter(job.state for job in jobs)
    left = [job for job in jobs if not job.state.finished]
    return JobsResult(
        summary=f"{_tally(states)}." if jobs else "Nothing was left to stop.",
        jobs=list(map(_listed, jobs[:SHOWN_JOBS])),
        total=len(jobs),
        next_step=f"{len(left)} could not be stopped yet; that is done at the next contact." if left else None,
    )


def news(finished: Sequence[Job], said: Sequence[Job]) -> list[str]:
    """What finished while nobody was looking: single jobs one by one, batches as a whole.

    Args:
        finished: All that did.
        said: Jobs whose end is told already.
    """
    known = {job.job_id for job in said}
    jobs = [job for job in finished if job.job_id not in known]
    lines = [_sentence(job) for job in jobs if not job.batch_id]
    batches: dict[str, Counter[State]] = {}
    for job in jobs:
        if job.batch_id:
            batches.setdefault(job.batch_id, Counter())[job.state] += 1
    lines += [f"{batch_id}: {_tally(states)} since the last reply." for batch_id, states in batches.items()]
    hidden = len(lines) - _SHOWN_NEWS
    return lines[:_SHOWN_NEWS] + ([f"And {hidden} more; call jobs to see them."] if hidden > 0 else [])


def hosts_result(views: Sequence[HostView], twins: Sequence[Sequence[str]]) -> HostsResult:
    """What is known of hosts."""
    entries = [_host_entry(view) for view in views]
    for view, entry in zip(views, entries, strict=True):
        if view.left_alone:
            entry.message = f"{entry.message} Jobs leave it alone for the next {view.pause_seconds} s."
    ready = sum(entry.picoclaw == "ready" for entry in entries)
    reachable = sum(entry.reachable for entry in entries)
    return HostsResult(
        summary=f"{ready} of {len(entries)} hosts are ready, {len(entries) - reachable} out of reach.",
        notices=[f"{' and '.join(names)} are one and the same account on one machine." for names in twins]
        + [note for view in views for note in _arch_notice(view.host, view)],
        hosts=entries,
    )


def rollout_result(runs: Sequence[HostRun], views: Sequence[HostView]) -> HostsResult:
    """What a deploy or a teardown came to, host by host."""
    entries = [_rollout_entry(run, view) for run, view in zip(runs, views, strict=True)]
    outcomes = Counter(run.result.outcome for run in runs)
    counted = ", ".join(f"{count} {outcome.value.replace('_', ' ')}" for outcome, count in outcomes.items())
    left = outcomes[Outcome.IN_PROGRESS]
    notices = [f"{left} {GO_ON}"] if left else []
    return HostsResult(summary=f"{counted}." if runs else "All hosts are ready.", notices=notices, hosts=entries)


def foremost(result: HostsResult) -> HostsResult:
    """What of a result fits one reply to a model: of too many hosts those in trouble, then those under way."""
    if len(result.hosts) <= SHOWN_HOSTS:
        return result
    hosts = sorted(result.hosts, key=lambda host: (host.reason is None, host.outcome != Outcome.IN_PROGRESS.value))
    told = f"{SHOWN_HOSTS} of {len(hosts)} hosts are shown, those in trouble first: name hosts to see others."
    return result.model_copy(update={"hosts": hosts[:SHOWN_HOSTS], "notices": [*result.notices, told]})


def _rollout_entry(run: HostRun, view: HostView) -> HostEntry:
    entry, result = _host_entry(view), run.result
    entry.outcome = result.outcome.value
    entry.version = result.version or entry.version
    entry.source, entry.digest = result.source or None, result.digest or None
    entry.removed, entry.kept = list(result.removed) or None, list(result.kept) or None
    entry.reason = result.reason.value if result.reason else None
    entry.message, entry.next_step = result.message or None, result.next_step or None
    return entry


def _entry(job: Job, page: Page, files: Sequence[str]) -> dict[str, Any]:
    more = page.next_offset is not None
    return {
        "job_id": job.job_id,
        "batch_id": job.batch_id or None,
        "host": job.host or None,
        "task": _beginning(job.task) or None,
        "state": job.state.value,
        "reason": job.reason.value if job.reason else None,
        "message": job.message or None,
        "answer": (page.answer if more and not page.rest else page.answer.removesuffix("\n")) or None,
        "output": (page.rest if more else page.rest.rstrip("\n")) or None,
        "files": list(files) or None,
        "exit_code": job.exit_code,
        "signal": job.signal or None,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "duration_seconds": job.duration_seconds,
        "truncated": more or None,
        "next_offset": page.next_offset,
        "next_step": _next_of_job(job, page),
    }


def _page(job: Job, outputs: OutputStore, notices: list[str], limit: int, offset: int = 0) -> Page:
    """A page of a job's output. Where it can't be read that is noted: how the job ended is known all the same."""
    if not job.state.finished:
        return _NOTHING
    try:
        return outputs.page(job.job_id, offset, limit)
    except OSError as error:
        notices.append(f"What {job.job_id} printed can't be read here: {error.strerror}.")
        return _NOTHING


def _listed(job: Job) -> JobEntry:
    """A job without what its worker has brought forth."""
    return JobEntry(**_entry(job, _NOTHING, ()))


def _fitting(names: Sequence[str], room: int) -> list[str]:
    """The first of the names, as many as there is room for."""
    ends = accumulate(map(len, names))
    return [name for name, end in zip(names, ends, strict=True) if end <= room]


def _noted(jobs: Sequence[Job]) -> list[str]:
    """What the reader should know of jobs besides, each note once; with its jobs, unless it is true of all of them."""
    noted: dict[str, list[str]] = {}
    for job in jobs:
        for note in job.notes:
            noted.setdefault(note, []).append(job.job_id)
    return [note if len(ids) == len(jobs) else f"{_some(ids)}: {note}" for note, ids in sorted(noted.items())]


def _some(job_ids: Sequence[str]) -> str:
    more = len(job_ids) - _NOTED_JOBS
    return ", ".join(job_ids[:_NOTED_JOBS]) + (f" and {more} more" if more > 0 else "")


def _beginning(task: str) -> str:
    """How a task begins, in one line and without keys, so that jobs can be told apart."""
    line = _keys().redact(one_line(task[:_LOOKED_AT]))
    if len(line) <= _TASK_CHARACTERS and len(task) <= _LOOKED_AT:
        return line
    return f"{line[: _TASK_CHARACTERS - 3].rstrip()}..."


@cache
def _keys() -> Redactor:
    return Redactor(())


def _sentence(job: Job) -> str:
    where = f" on {job.host}" if job.host else ""
    took = f" in {job.duration_seconds:g} s" if job.duration_seconds is not None else ""
    said = f" {job.message}" if job.message else ""
    stands = with_reason(job.state.value.replace("_", " "), job.reason)
    return f"{job.job_id} {stands}{where}{took}.{said}"


def _next_of_job(job: Job, page: Page) -> str | None:
    if not job.state.finished:
        return f'Call job_result with job_id="{job.job_id}" and wait_seconds=45.'
    if page.left:
        call = f'call job_result with job_id="{job.job_id}" and offset={page.next_offset}'
        return f"{job.next_step} For the rest, {page.left:,} bytes, {call}.".lstrip()
    return job.next_step or None


def _shown(offset: int, end: int, total: int) -> str:
    """Which jobs of a batch are shown, where that isn't all."""
    if end - offset == total:
        return ""
    return f" Here are jobs {offset + 1} to {end}." if offset < end else f" There are none after the first {total}."


def _next_of_batch(batch_id: str, left: int, end: int, total: int) -> str | None:
    if left:
        return f'{left} of {total} are not done. Call job_result with batch_id="{batch_id}" and wait_seconds=45.'
    if end < total:
        return f'For more of the {total} call job_result with batch_id="{batch_id}" and offset={end}.'
    return None


def _tally(states: Counter[State]) -> str:
    return ", ".join(f"{states[state]} {state.value.replace('_', ' ')}" for state in State if states[state])


def _host_entry(view: HostView) -> HostEntry:
    facts, obstacle = view.facts, view.obstacle()
    if facts is None or view.trouble is not None:
        entry = HostEntry(name=view.host.name, reachable=False, picoclaw="unknown", arch=view.host.arch or None)
    else:
        entry = HostEntry(
            name=view.host.name,
            reachable=True,
            picoclaw=facts.picoclaw.value,
            version=facts.version or None,
            arch=facts.arch or None,
            load=facts.load,
            memory_free_mb=facts.memory_free_mb,
            disk_free_mb=facts.disk_free_mb,
            running=facts.running,
            free_slots=max(view.slots - max(facts.running, view.ours), 0),
            round_trip_ms=facts.round_trip_ms,
        )
    if obstacle is not None:
        entry.reason, entry.message = obstacle.reason.value, obstacle.message
        entry.next_step = obstacle.next_step or None
    return entry


def _arch_notice(host: Host, view: HostView) -> list[str]:
    """Where config and host disagree about the architecture, the host wins."""
    facts = view.facts
    if not (facts and facts.arch and host.arch) or canonical_arch(facts.arch) == host.arch:
        return []
    return [f"{host.name}: the config says arch {host.arch}, the host says {facts.arch}; the host is believed."]
