"""The exit codes, as every command has them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

from picoclaw_fleet.errors import CONTACT_REASONS, FleetError, HostError, LedgerError, Reason, ReleaseError

if TYPE_CHECKING:
    from picoclaw_fleet.results import HostEntry, JobEntry

OUT_OF_REACH = CONTACT_REASONS | {Reason.LOST_CONTACT}


class ExitCode(IntEnum):
    """What a command's exit status says."""

    OK = 0
    BROKEN = 1
    USAGE = 2
    FAILED = 3
    UNREACHABLE = 4
    TIMEOUT = 5
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "all is well",
    ExitCode.BROKEN: "the command itself broke down, or the ledger can't be used",
    ExitCode.USAGE: "wrong usage or fleet config; nothing was done",
    ExitCode.FAILED: "something failed",
    ExitCode.UNREACHABLE: "nothing failed, but hosts were out of reach",
    ExitCode.TIMEOUT: "nothing else went wrong, but tasks took longer than they were allowed to",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C",
}

TABLE = "\n".join(["\b", "Exit codes:", *(f"  {code:3}  {meaning}" for code, meaning in MEANINGS.items())])
"""For the help; \\b keeps click from filling the lines up."""


def of_jobs(jobs: Iterable[JobEntry]) -> ExitCode:
    """What the ends of jobs amount to."""
    return _worst(_of_job(job.state, job.reason) for job in jobs)


def of_hosts(hosts: Iterable[HostEntry]) -> ExitCode:
    """What the states of hosts, or the outcomes at them, amount to."""
    return _worst(_of_host(host) for host in hosts)


def of_error(error: FleetError) -> ExitCode:
    """What an error that ended the command amounts to."""
    match error:
        case HostError():
            return ExitCode.UNREACHABLE if error.reason in OUT_OF_REACH else ExitCode.FAILED
        case ReleaseError():
            return ExitCode.FAILED
        case LedgerError():
            return ExitCode.BROKEN
        case _:
            return ExitCode.USAGE


def _worst(codes: Iterable[ExitCode]) -> ExitCode:
    there = set(codes)
    order = (ExitCode.FAILED, ExitCode.UNREACHABLE, ExitCode.TIMEOUT)
    return next((code for code in order if code in there), ExitCode.OK)


def _of_job(state: str, reason: str | None) -> ExitCode:
    match state:
        case "succeeded":
            return ExitCode.OK
        case "timed_out":
            return ExitCode.TIMEOUT
        case "queued" | "running" if reason is None:
            return ExitCode.OK
        case _:
            return ExitCode.UNREACHABLE if reason in OUT_OF_REACH and state != "lost" else ExitCode.FAILED


def _of_host(host: HostEntry) -> ExitCode:
    if host.reason is None:
        return ExitCode.OK
    return ExitCode.UNREACHABLE if host.reason in OUT_OF_REACH else ExitCode.FAILED
