"""One job on one host: sending it, staying with it until it ends, bringing its output home."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import anyio

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, LedgerError, Reason, State
from picoclaw_fleet.jobs.board import HostView
from picoclaw_fleet.jobs.contact import Contact
from picoclaw_fleet.jobs.ledger import Ledger
from picoclaw_fleet.jobs.model import Job
from picoclaw_fleet.jobs.output import OutputStore, OutputWriter
from picoclaw_fleet.text.plain_text import clean
from picoclaw_fleet.text.redaction import Redactor
from picoclaw_fleet.transport import Pool
from picoclaw_fleet.worker import contract
from picoclaw_fleet.worker.answer import TASK_PREFIX
from picoclaw_fleet.worker.contract import Attendance, Ending, JobAbsentError, RunnerMissingError
from picoclaw_fleet.worker.verdict import Verdict, explain, judge

logger = logging.getLogger(__name__)

WAIT_SECONDS = 50.0
"""How long one wait keeps its channel before others get their turn."""

_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_MOST_FILES = 100
_LONGEST_LISTING = 64 << 10
_OUTSIDE = ("outside the workspace", "outside working dir")  # PicoClaw's tools, as its answers quote them


class JobWatch:
    """Carries jobs out on hosts.

    Args:
        pool: The connections.
        ledger: Where each step is recorded.
        outputs: Where outputs go.
    """

    def __init__(self, pool: Pool, ledger: Ledger, outputs: OutputStore) -> None:
        self._pool = pool
        self._ledger = ledger
        self._outputs = outputs

    async def carry_out(self, job: Job, view: HostView) -> None:
        """Sends a job and returns when it has ended.

        Raises:
            HostError: The job was not started there, and can go elsewhere.
            LedgerError: It was not sent, since that could not be noted down.
        """
        contact = Contact(self._pool, job, view)
        await self._pool.connect(view.host)
        if job.stop_wanted and not contact.in_doubt:
            self.call_off(job)
            return
        job.host, job.address, job.sent = view.host.name, _address(view.host), True
        self._ledger.record(job)
        try:
            # From its first byte on the job may be there; whoever comes after us has to know where to look.
            await self._ledger.committed()
            if self._ledger.is_to_stop(job) and not contact.in_doubt:
                self._take_back(job, host="")
                self.call_off(job)
                return
            await self._stay_with(job, contact)
        except (HostError, LedgerError):
            self._take_back(job, host=job.host if contact.in_doubt else "")
            raise

    async def resume(self, job: Job, view: HostView) -> None:
        """Stays with a job that another process has sent, until it ends.

        Where the host has never heard of it, it is queued again for that same host: there its id can't start twice.

        Raises:
            HostError: The host can't be reached now, or a variable that its settings refer to isn't set here.
        """
        # Without the variables of its settings nobody knows what is to be taken out of its output, so it stays there.
        contact = Contact(self._pool, job, view)
        contact.accepted = True
        known = job.started_at is not None
        try:
            await self._stay_with(job, contact, lost_if_absent=known and job.address == _address(view.host))
        except JobAbsentError:
            if job.address != _address(view.host):
                raise HostError(
                    "it is at another address now than when the job was sent, and the job is not there.",
                    host=view.host.name,
                    reason=Reason.LOST_CONTACT,
                    next_step="Give the old host a name in the fleet config again.",
                ) from None
            self._take_back(job, host=job.host)
        except HostError as error:
            if error.reason is not Reason.NO_SLOT:
                raise
            self._take_back(job, host=job.host)

    def call_off(self, job: Job) -> None:
        """Ends a job that is to be stopped and isn't sent; where it may have come there, its id is made unusable."""
        if job.host:
            self.leave(job)
        else:
            job.cancel("It was cancelled before it was sent.")
            self._ledger.record(job)

    def leave(self, job: Job) -> None:
        """Leaves a job that may have come to its host to whoever takes it over: he asks there until he is answered."""
        job.sent = True
        self._ledger.release(job)

    async def stop(self, job: Job, view: HostView) -> None:
        """Has a host stop a job, and returns when nothing of it is left; who stays with it brings it to its end.

        Raises:
            HostError: The host could not be told.
        """
        if view.facts is None or view.trouble is not None:
            raise view.trouble or HostError("it has not answered.", host=view.host.name, reason=Reason.UNREACHABLE)
        try:
            async with contract.stop(self._pool, view.host, view.facts.name, job.job_id) as attendance:
                await attendance.ended()
        except (RunnerMissingError, JobAbsentError):
            logger.info("job %s never came to %s", job.job_id, view.host.name)

    def _take_back(self, job: Job, host: str) -> None:
        job.host, job.sent, job.started_at = host, False, None
        job.state, job.reason, job.message = State.QUEUED, None, ""
        self._ledger.record(job)

    async def _stay_with(self, job: Job, contact: Contact, *, lost_if_absent: bool = True) -> None:
        """Waits for the job's end, over as many channels and connections as it takes.

        Until the host has said that the job is there, the order is repeated after a loss of contact: the same id
        never starts twice on a host.
        """
        pause = _FIRST_PAUSE_SECONDS
        while not job.state.finished:
            try:
                async with await contact.attend() as attendance:
                    age = await contact.started(attendance)
                    if job.reason is not Reason.DISK_FULL:  # the link is there, but room is not
                        pause = _FIRST_PAUSE_SECONDS
                    if age is not None:
                        self._note_running(job, age)
                    ending: Ending | None = None
                    with anyio.move_on_after(WAIT_SECONDS):
                        ending = await attendance.ended()
                    if ending is not None:
                        await self._finish(job, contact, attendance, ending)
            except RunnerMissingError:
                contact.note_missing_runner()
            except JobAbsentError:
                if not lost_if_absent:
                    raise
                self._end(job, Verdict(State.LOST, Reason.LOST_CONTACT), finished=datetime.now(UTC))
            except (HostError, OSError) as error:
                if isinstance(error, HostError) and contact.has_refused(error):
                    raise
                self._note_trouble(job, contact, error)
                await anyio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def _note_trouble(self, job: Job, contact: Contact, error: HostError | OSError) -> None:
        """Says why nothing is heard of a job for now."""
        if isinstance(error, HostError):
            job.note_silence(Redactor(contact.secrets).redact(error.message))
        else:
            job.reason = Reason.DISK_FULL
            job.message = (
                f"It has ended on {contact.host.name}, but its output can't be stored here: {error.strerror}. "
                "It is kept there and fetched as soon as it can be."
            )
        logger.info("job %s: %s", job.job_id, job.message)
        self._ledger.record(job)

    def _note_running(self, job: Job, age: float) -> None:
        if job.started_at is None:
            job.started_at = datetime.now(UTC) - timedelta(seconds=age)
        job.state = State.RUNNING
        if job.reason is not Reason.DISK_FULL:  # then it has ended, and its output is being asked for once more
            job.reason, job.message = None, ""
        self._ledger.record(job)

    async def _finish(self, job: Job, contact: Contact, attendance: Attendance, ending: Ending) -> None:
        """Brings the output home and ends the job."""
        secrets = contact.secrets
        out, err, tail, files = ending.sizes
        names = bytearray()
        with self._outputs.storing(job.job_id, secrets, out + err + tail) as writer:
            await attendance.copy(out, writer.stdout)
            writer.end_of_stdout()
            for title, size in (("stderr", err), ("end of the session", tail)):
                if size:
                    with writer.part(title) as write:
                        await attendance.copy(size, write)
            await attendance.copy(min(files, _LONGEST_LISTING), names.extend)
            writer.all_is_answer = bool(out) and not writer.found_answer and ending.exit_status == 0
        job.on_host, job.output_bytes = True, out + err + tail
        left = Redactor(secrets).redact(clean(bytes(names))).splitlines() if names else []
        job.files = tuple(left[:_MOST_FILES])
        are_all = files == len(names) and len(left) <= _MOST_FILES
        job.notes = tuple(_notes(job, contact, writer, are_all=are_all))
        job.duration_seconds = round(ending.ended - ending.started, 2)
        finished = datetime.now(UTC) - timedelta(seconds=max(ending.now - ending.ended, 0.0))
        verdict = judge(ending, writer.beginning, contact.facts.kills)
        if verdict.reason is Reason.CANCELLED and contact.overdue and not job.stop_wanted:
            # We have done its guard's work.
            verdict = Verdict(State.TIMED_OUT, Reason.TIMEOUT)
        self._end(job, verdict, finished)

    def _end(self, job: Job, verdict: Verdict, finished: datetime) -> None:
        job.state, job.reason = verdict.state, verdict.reason
        job.exit_code, job.signal = verdict.exit_status, verdict.signal
        job.message, job.next_step = explain(verdict, job.timeout_seconds)
        job.finished_at = finished
        self._ledger.record(job)


def _notes(job: Job, contact: Contact, writer: OutputWriter, *, are_all: bool) -> Iterator[str]:
    """What the reader should know besides of a job that has ended."""
    if writer.all_is_answer:
        yield "PicoClaw's answer could not be told apart; this is all that it printed."
    if contact.order.task != job.task.encode():
        yield f"The task was sent as {TASK_PREFIX + job.task[:1]!r}...: PicoClaw takes it for a command otherwise."
    if contact.host.restrict_to_workspace is not False and any(words in writer.beginning for words in _OUTSIDE):
        yield "Where a task needs files outside of its workspace, set restrict_to_workspace to false there."
    if not are_all:
        yield f"It left more files than the {len(job.files)} that are named."


def _address(host: Host) -> str:
    """Where a host is to be found: another one may get its name."""
    return f"{host.user}@{host.address}:{host.port}" + (f" by {host.jump}" if host.jump else "")
