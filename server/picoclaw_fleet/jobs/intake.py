"""The intake: what may be asked of the fleet, and how it becomes jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from picoclaw_fleet.assignment import Assignment
from picoclaw_fleet.config.inventory import Inventory
from picoclaw_fleet.errors import Reason, UsageError
from picoclaw_fleet.jobs.model import Job
from picoclaw_fleet.worker.answer import as_message
from picoclaw_fleet.worker.contract import MAX_TASK_BYTES

LONGEST_TIMEOUT_SECONDS = 86_400

Mode = Literal["spread", "broadcast"]


def new_job(inventory: Inventory, task: str, host: str, timeout_seconds: int) -> Job:
    """Makes the job of one task.

    Args:
        inventory: The hosts there are.
        task: What is to be done.
        host: A selector; empty for all hosts.
        timeout_seconds: When PicoClaw is stopped.

    Raises:
        UsageError: Something of that can't be done.
    """
    _check_task(task, "The task")
    return Job(task, _names(inventory, [host] if host else []), _checked_timeout(timeout_seconds))


def new_jobs(
    inventory: Inventory,
    tasks: Sequence[Assignment],
    hosts: Sequence[str],
    mode: Mode,
    timeout_seconds: int,
    batch_id: str,
) -> list[Job]:
    """Makes the jobs of a batch: one for each task, or in a broadcast one for each task and host.

    Raises:
        UsageError: Something of that can't be done; then nothing of it is.
    """
    if not tasks:
        raise UsageError("There are no tasks.", next_step="Give tasks, or rerun with a batch's id.")
    if mode == "broadcast" and not hosts:
        raise UsageError(
            "A broadcast runs each task on each host, so the hosts have to be named.",
            next_step="Give hosts; `all` stands for all of them.",
        )
    selectors = dict.fromkeys(assignment.host for assignment in tasks if assignment.host)
    inventory.check_number(selectors)
    chosen = _names(inventory, hosts)
    choices = {selector: _names(inventory, [selector]) for selector in selectors}
    jobs: list[Job] = []
    for number, assignment in enumerate(tasks, start=1):
        _check_task(assignment.task, f"Task {number}")
        names = choices.get(assignment.host, chosen)
        seconds = _checked_timeout(assignment.timeout_seconds or timeout_seconds)
        groups = [(name,) for name in names] if mode == "broadcast" else [names]
        jobs += (Job(assignment.task, group, seconds, batch_id) for group in groups)
    return jobs


def _names(inventory: Inventory, selectors: Sequence[str]) -> tuple[str, ...]:
    return tuple(host.name for host in inventory.select(selectors))


def _check_task(task: str, what: str) -> None:
    """Refuses what can't be told to PicoClaw, or would not arrive as it is."""
    if not task.strip():
        raise UsageError(f"{what} is blank.", reason=Reason.BAD_TASK, next_step="Say what is to be done.")
    if "\0" in task:
        raise UsageError(f"{what} contains a NUL character, which no argument can hold.", reason=Reason.BAD_TASK)
    try:
        size = len(as_message(task).encode())
    except UnicodeEncodeError as error:
        raise UsageError(f"{what} is not valid Unicode ({error.reason}).", reason=Reason.BAD_TASK) from error
    if size > MAX_TASK_BYTES:
        raise UsageError(
            f"{what} has {size:,} bytes; PicoClaw takes at most {MAX_TASK_BYTES:,}.",
            reason=Reason.TOO_LARGE,
            next_step="Split it, or put the material where the worker can fetch it.",
        )


def _checked_timeout(seconds: int) -> int:
    if 1 <= seconds <= LONGEST_TIMEOUT_SECONDS:
        return seconds
    raise UsageError(f"timeout_seconds is {seconds}; it has to be from 1 to {LONGEST_TIMEOUT_SECONDS}.")
