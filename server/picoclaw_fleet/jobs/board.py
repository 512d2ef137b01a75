"""The board: what is known of each host, and how many of our jobs are there."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import anyio

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.text.redaction import Redactor
from picoclaw_fleet.transport import Pool
from picoclaw_fleet.worker.probe import Facts, PicoclawState, probe
from picoclaw_fleet.worker.settings import secrets_of

FRESH_SECONDS = 30.0
"""How old facts may be for placing a job."""

DEFAULT_SLOTS = 4
SLOTS_BELOW_256_MB = 1
_SMALL_MB = 256

_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 300.0
_FIRST_FULL_SECONDS = 0.5
_LONGEST_FULL_SECONDS = 10.0


@dataclass(slots=True, eq=False)
class HostView:
    """What is known of one host.

    Attributes:
        host: As the config has it.
        facts: What the last successful probe saw; None before the first.
        trouble: Why the last contact failed; None when it did not.
        jobs: The ids of this process's jobs that are there, or on their way, whatever the config said of it when they
            began.
        left_alone_until: Until when nobody tries to reach it without being asked to, by `time.monotonic()`.
        full_until: Until when it is taken for full, likewise: it has just refused a job for want of a slot.
        probing: Held while it is being probed.
        installing: Held while our runner is being put there.
        failures: How often contact failed in a row.
        failed_at: When it last did, by `time.monotonic()`.
    """

    host: Host
    facts: Facts | None = None
    trouble: HostError | None = None
    jobs: set[str] = field(default_factory=set[str])
    left_alone_until: float = 0.0
    full_until: float = 0.0
    probing: anyio.Lock = field(default_factory=anyio.Lock)
    installing: anyio.Lock = field(default_factory=anyio.Lock)
    failures: int = 0
    failed_at: float = 0.0
    _pause: float = 0.0
    _rest: float = 0.0

    @property
    def slots(self) -> int:
        """How many jobs may run there at once."""
        if self.host.slots:
            return self.host.slots
        total = self.facts.memory_total_mb if self.facts else None
        return SLOTS_BELOW_256_MB if total is not None and total < _SMALL_MB else DEFAULT_SLOTS

    @property
    def ours(self) -> int:
        """How many jobs of this process are there, or on their way."""
        return len(self.jobs)

    @property
    def free(self) -> int:
        """How many more jobs we may send there; the host itself decides whether it takes them."""
        return 0 if self.full_until > time.monotonic() else self.slots - self.ours

    @property
    def burden(self) -> float:
        """Running jobs and load per processor, against the slots: the lowest is chosen."""
        if self.facts is None:
            return self.ours / self.slots
        running = max(self.facts.running, self.ours)
        return (running + self.facts.load / self.facts.cpus) / self.slots

    @property
    def has_runner(self) -> bool:
        """Whether our runner lies there."""
        return self.facts is not None and self.facts.has_runner

    @property
    def is_fresh(self) -> bool:
        """Whether its facts are good enough to place a job by."""
        return (
            self.facts is not None and self.trouble is None and time.monotonic() - self.facts.taken_at < FRESH_SECONDS
        )

    @property
    def left_alone(self) -> bool:
        """Whether it failed to connect only lately."""
        return self.left_alone_until > time.monotonic()

    @property
    def pause_seconds(self) -> int:
        """For how many seconds more it is left alone, rounded up; 0 when it isn't."""
        return max(math.ceil(self.left_alone_until - time.monotonic()), 0)

    def obstacle(self) -> HostError | None:
        """Why no job can be sent there; None when it can."""
        if self.trouble is not None:
            return self.trouble
        if self.facts is None or self.facts.picoclaw is PicoclawState.READY:
            return None
        if self.facts.picoclaw is PicoclawState.MISSING:
            return HostError(
                "PicoClaw is not installed there.",
                host=self.host.name,
                reason=Reason.NOT_INSTALLED,
                next_step="Put it there with deploy.",
            )
        name = f"PicoClaw {self.facts.version}".rstrip()
        # A configuration that does not work may be quoted with the key in it.
        said = Redactor(secrets_of(self.host, {})).redact(self.facts.detail)
        return HostError(
            f"{name} is there, but not ready." + (f" It says: {said.rstrip('.')}." if said else ""),
            host=self.host.name,
            reason=Reason.NOT_READY,
            next_step="Deploy to it, or mend its configuration there: picoclaw agent -m '/show model' has to work.",
        )

    def note_contact(self, facts: Facts) -> None:
        """Takes in what a probe saw."""
        self.facts, self.trouble = facts, None
        self.failures, self._pause, self.left_alone_until = 0, 0.0, 0.0

    def note_runner(self, *, there: bool) -> None:
        """Takes in whether our runner lies there."""
        if self.facts is not None:
            self.facts = replace(self.facts, has_runner=there)

    def note_failure(self, trouble: HostError) -> None:
        """Leaves the host alone for a growing time."""
        self.trouble = trouble
        self.failures += 1
        self.failed_at = time.monotonic()
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS) or _FIRST_PAUSE_SECONDS
        self.left_alone_until = self.failed_at + self._pause

    def note_full(self) -> None:
        """Takes the host for full for a growing time."""
        self._rest = min(2 * self._rest, _LONGEST_FULL_SECONDS) or _FIRST_FULL_SECONDS
        self.full_until = time.monotonic() + self._rest

    def note_accepted(self) -> None:
        """The host took a job."""
        self._rest = self.full_until = 0.0


class Board:
    """The views of all hosts.

    Args:
        pool: The connections.

    Attributes:
        changed: Wakes who waits for it when a job has left a host, or else there may be room where there was none.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._views: dict[Host, HostView] = {}
        self._jobs = defaultdict[str, set[str]](set)
        self.changed = asyncio.Event()

    def note_change(self) -> None:
        """Wakes all who wait for room on hosts, whichever batch has made it."""
        self.changed.set()
        self.changed.clear()

    def view(self, host: Host) -> HostView:
        """What is known of a host as the config has it, or had it: who began before an edit goes on by what it said."""
        view = self._views.get(host)
        if view is None:
            view = self._views[host] = HostView(host, jobs=self._jobs[host.name])
        return view

    def host_of(self, job_id: str) -> Host | None:
        """Where a job of this process is, or on its way to, as last known; None when it is nowhere."""
        return next((view.host for view in reversed(self._views.values()) if job_id in view.jobs), None)

    def forget_strangers(self, find: Callable[[str], Host | None]) -> None:
        """Forgets the hosts that the config has no more, or not as they were, unless jobs of this process are there.

        Args:
            find: Finds a host by name; None when the config has it no more.
        """
        for host in [host for host, view in self._views.items() if not view.jobs and find(host.name) != host]:
            del self._views[host]

    async def look(self, host: Host, *, max_age: float = 0.0, anew: bool = False) -> HostView:
        """Probes a host, unless what is known is younger than max_age.

        Those who ask at once share one probe, and its failure.
        Never raises: the view tells the trouble.

        Args:
            host: Whom to look at.
            max_age: How old what is known may be, in seconds.
            anew: Nothing that is known counts: the host has just been changed.
        """
        view = self.view(host)
        asked_at = time.monotonic()
        async with view.probing:
            is_young = view.facts is not None and view.facts.taken_at > asked_at - max_age
            if not anew and (view.failed_at > asked_at if view.trouble else is_young):
                return view
            try:
                view.note_contact(await probe(self._pool, host, None if anew else view.facts))
            except HostError as error:
                view.note_failure(error)
            except (LookupError, ValueError) as error:
                # Whatever a host says, it must not stop the others.
                nonsense = f"its answer to the probe makes no sense ({type(error).__name__})."
                view.note_failure(HostError(nonsense, host=host.name, reason=Reason.PROTOCOL_ERROR))
        return view

    def twins(self, hosts: Iterable[Host]) -> list[list[str]]:
        """Names that stand for one and the same account on one machine, as far as is known."""
        names: dict[tuple[str, str, str], list[str]] = {}
        for host in hosts:
            facts = self.view(host).facts
            if facts is not None and facts.home_id:
                names.setdefault(facts.machine_id, []).append(host.name)
        return [same for same in names.values() if len(same) > 1]
