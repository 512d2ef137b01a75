"""One run of a batch: gives its jobs to hosts, each free slot the next one, until none is left.

Placement: hosts that are ready; then the one with the lowest burden; ties by config order. A job moves to another host
only while it has not been sent.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Container, Sequence

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import CONTACT_REASONS, HostError, LedgerError, Reason
from picoclaw_fleet.jobs.board import FRESH_SECONDS, Board, HostView
from picoclaw_fleet.jobs.ledger import Ledger
from picoclaw_fleet.jobs.model import Job
from picoclaw_fleet.jobs.watch import JobWatch

CANDIDATES = 32
"""How many hosts are probed for jobs that are fewer than that."""

_LEAST_CHOOSING_SECONDS = 0.05
_LEDGER_REST_SECONDS = 2.0
_LOST_FOR_GOOD = 3
"""After so many failures in a row a host that has served this batch is not waited for any more."""
_NO_HOST = Reason.SKIPPED
_UNHEARD = CONTACT_REASONS | {_NO_HOST}
"""With these the host has not said whether a job is there that may have come to it."""
_SHOWN_OBSTACLES = 5
_LOOK_SECONDS = 3.0
"""For how long hosts that may have PicoClaw are waited for before another one gets it."""


Install = Callable[[Host], Awaitable[HostError | None]]
"""Puts PicoClaw on a host; returns why it could not, None when it is there and ready."""


class BatchRun:
    """Brings the jobs of one batch to hosts.

    Args:
        jobs: All of them queued.
        hosts: Every host that a job names, in config order.
        board: What is known of the hosts.
        watch: Carries out one job on one host.
        ledger: Where the end of jobs that found no host is recorded.
        max_parallel: How many of these jobs may run at once; 0 for no limit but the slots.
        install: Puts PicoClaw on a host where it is missing, and returns why it could not; None: it isn't put anywhere.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        hosts: Sequence[Host],
        *,
        board: Board,
        watch: JobWatch,
        ledger: Ledger,
        max_parallel: int = 0,
        install: Install | None = None,
    ) -> None:
        self._board = board
        self._watch = watch
        self._ledger = ledger
        self._most = max_parallel or len(jobs)
        self._under_way: set[Job] = set()
        self._given: Counter[str] = Counter()
        self._first_took = 0.0
        self._choose_until = 0.0
        self._ledger_rests_until = 0.0
        self._rank = {host.name: rank for rank, host in enumerate(hosts)}
        self._install = install
        self._usable: dict[str, HostView] = {}
        self._bare: dict[str, HostView] = {}
        self._equipping: set[str] = set()
        self._look_until = 0.0
        self._resting: dict[str, HostView] = {}
        self._served: set[str] = set()
        self._dropped: dict[str, HostError] = {}
        self._choices: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._queues: dict[tuple[str, ...], deque[Job]] = {}
        self._queues_of: dict[str, list[deque[Job]]] = {host.name: [] for host in hosts}
        for job in jobs:
            self._queue_of(self._choice(job)).append(job)
        self._scouting: dict[str, HostView] = {}
        self._unscouted = {host.name: board.view(host) for host in hosts}

    async def run(self) -> None:
        """Returns when each job has ended, or is left to adoption: its host can't say whether it is there."""
        self._began = time.monotonic()
        async with anyio.create_task_group() as tasks:
            while self._waiting or self._under_way:
                if self._waiting:
                    self._wake_the_rested()
                    self._scout_some(tasks)
                    self._equip_some(tasks)
                    given = self._assign(tasks)
                    self._fail_the_stranded()
                    if given:
                        # Other batches wait for the next free slot from now on, and this one behind them: in turns.
                        await anyio.lowlevel.checkpoint()
                        continue
                if self._waiting or self._under_way:
                    with anyio.move_on_after(self._pause()):
                        await self._board.changed.wait()
            tasks.cancel_scope.cancel()

    def withdraw(self, job: Job) -> bool:
        """Takes a job out of the queue; False when it isn't there, because it is on its way or another's."""
        for queue in self._queues.values():
            if job in queue:
                queue.remove(job)
                self._board.note_change()
                return True
        return False

    def carries(self, job: Job) -> bool:
        """Whether a job is on its way to a host, or there."""
        return job in self._under_way

    def _choice(self, job: Job) -> tuple[str, ...]:
        """Where a job may go, of the hosts that the config still has."""
        choice = job.choice
        if choice not in self._choices:
            self._choices[choice] = tuple(name for name in choice if name in self._rank)
        return self._choices[choice]

    @property
    def _waiting(self) -> int:
        return sum(map(len, self._queues.values()))

    def _scout_some(self, tasks: TaskGroup) -> None:
        """Probes as many hosts as may be needed, not counting those that have proved useless.

        Those that failed to connect lately are tried when the others do not do.
        """
        wanted = max(CANDIDATES, self._waiting) - len(self._scouting) - len(self._usable)
        rested = [name for name, view in self._unscouted.items() if not view.left_alone]
        for name in rested[: max(wanted, 0)]:
            self._send_scout(name, tasks)
        for names in self._queues_without(self._usable, self._scouting, self._bare):
            untried = [name for name in names if name in self._unscouted]
            if untried:
                self._send_scout(min(untried, key=lambda name: self._unscouted[name].left_alone), tasks)

    def _send_scout(self, name: str, tasks: TaskGroup) -> None:
        view = self._scouting[name] = self._unscouted.pop(name)
        tasks.start_soon(self._scout, view)

    async def _scout(self, view: HostView) -> None:
        name = view.host.name
        if not view.is_fresh:
            view = await self._board.look(view.host, max_age=FRESH_SECONDS)
        del self._scouting[name]
        obstacle = view.obstacle()
        if obstacle is None:
            self._use(view)
        elif obstacle.reason is Reason.NOT_INSTALLED and self._install is not None:
            self._bare[name] = view
            self._look_until = self._look_until or time.monotonic() + _LOOK_SECONDS
        else:
            self._drop(view, obstacle)
        self._board.note_change()

    def _equip_some(self, tasks: TaskGroup) -> None:
        """Has PicoClaw put on hosts that miss it, where the others are too few for what waits."""
        if not self._bare:
            return
        looking = time.monotonic() < self._look_until and not self._scouting.keys() <= self._equipping
        to_use = [*self._usable.values(), *(self._scouting[name] for name in self._equipping)]
        missing = self._waiting - sum(max(view.slots - len(view.jobs), 0) for view in to_use)
        for name, view in list(self._bare.items()):
            others_do = all(self._has_live_host(queue) for queue in self._queues_of[name] if queue)
            if others_do and (looking or missing <= 0):
                continue
            del self._bare[name]
            self._scouting[name] = view
            self._equipping.add(name)
            missing -= view.slots
            tasks.start_soon(self._equip, view)

    async def _equip(self, view: HostView) -> None:
        assert self._install is not None
        obstacle = await self._install(view.host)
        del self._scouting[view.host.name]
        self._equipping.remove(view.host.name)
        view = self._board.view(view.host)
        obstacle = obstacle or view.obstacle()
        if obstacle is not None:
            self._drop(view, obstacle)
            return
        self._use(view)
        self._board.note_change()

    def _use(self, view: HostView) -> None:
        now = time.monotonic()
        self._first_took = self._first_took or max(now - self._began, _LEAST_CHOOSING_SECONDS)
        self._choose_until = now + self._first_took
        self._usable[view.host.name] = view

    def _has_live_host(self, queue: deque[Job]) -> bool:
        names = self._choice(queue[0])
        return any(name in self._usable or name in self._scouting for name in names)

    def _drop(self, view: HostView, obstacle: HostError) -> None:
        name = view.host.name
        self._usable.pop(name, None)
        self._dropped[name] = obstacle
        if view.left_alone:
            self._resting[name] = view
        self._board.note_change()

    def _wake_the_rested(self) -> None:
        """Hosts come and go: one that could not be reached gets another chance after its pause."""
        for name, view in list(self._resting.items()):
            if not view.left_alone and name not in self._scouting:
                del self._resting[name]
                self._unscouted[name] = view

    def _pause(self) -> float:
        """For how long, in seconds, nothing can change unless somebody says so."""
        if not self._waiting:
            return math.inf
        moments = [view.full_until for view in self._usable.values()]
        moments += [view.left_alone_until for view in (*self._resting.values(), *self._unscouted.values())]
        moments += [self._ledger_rests_until, self._choose_until, self._look_until]
        now = time.monotonic()
        return min((moment - now for moment in moments if moment > now), default=math.inf)

    def _assign(self, tasks: TaskGroup) -> bool:
        """Gives each free slot a job, the least burdened host first; tells whether there was one."""
        if self._ledger_rests_until > time.monotonic():
            return False
        before = len(self._under_way)
        share = self._fair_share() if self._still_choosing() else math.inf
        free = [view for view in self._usable.values() if view.free > 0 and self._given[view.host.name] < share]
        heap = [(view.burden, self._rank[view.host.name], view) for view in free]
        heapq.heapify(heap)
        while heap and len(self._under_way) < self._most:
            _, rank, view = heapq.heappop(heap)
            job = self._next_for(view.host.name)
            if job is None:
                continue
            self._under_way.add(job)
            self._given[view.host.name] += 1
            view.jobs.add(job.job_id)
            tasks.start_soon(self._carry_out, job, view)
            if view.free > 0 and self._given[view.host.name] < share:
                heapq.heappush(heap, (view.burden, rank, view))
        return len(self._under_way) > before

    def _fair_share(self) -> int:
        """How many jobs a host gets in any case, whatever the hosts turn out to be that have not answered yet."""
        startable = self._given.total() + min(self._waiting, self._most - len(self._under_way))
        return startable // (len(self._usable) + len(self._scouting))

    def _still_choosing(self) -> bool:
        """Whether hosts that have not answered yet get a little longer to show that they are the better choice.

        Only where there is a choice, and until none has answered for as long as the first one took.
        """
        return time.monotonic() < self._choose_until and self._has_choice()

    def _has_choice(self) -> bool:
        """Whether jobs that could go now may find a better place soon: else each free slot will be needed anyway."""
        free = sum(max(view.free, 0) for view in self._usable.values())
        to_come = sum(max(view.free, 0) for view in self._scouting.values())
        startable = min(self._waiting, self._most - len(self._under_way))
        if not free or not to_come or startable >= free + to_come:
            return False
        known, awaited = self._usable.keys(), self._scouting.keys()
        return any(
            not known.isdisjoint(names) and not awaited.isdisjoint(names)
            for names, queue in self._queues.items()
            if queue
        )

    def _next_for(self, name: str) -> Job | None:
        for queue in self._queues_of[name]:
            if queue:
                return queue.popleft()
        return None

    async def _carry_out(self, job: Job, view: HostView) -> None:
        try:
            await self._watch.carry_out(job, view)
            self._served.add(view.host.name)
        except LedgerError as error:
            # The ledger comes first: what it can't note down waits until it can.
            job.message = error.message
            self._put_back(job)
            self._ledger_rests_until = time.monotonic() + _LEDGER_REST_SECONDS
        except HostError as obstacle:
            self._put_back(job)
            if obstacle.reason is Reason.NO_SLOT:
                view.note_full()
            else:
                if obstacle.reason in CONTACT_REASONS and not view.left_alone:
                    view.note_failure(obstacle)
                self._drop(view, obstacle)
        finally:
            self._under_way.discard(job)
            view.jobs.discard(job.job_id)
            self._board.note_change()

    def _put_back(self, job: Job) -> None:
        """Has a job that was not started wait again, unless it is to be stopped by now."""
        if job.stop_wanted:
            self._watch.call_off(job)
        else:
            self._queue_of(self._choice(job)).appendleft(job)

    def _queue_of(self, names: tuple[str, ...]) -> deque[Job]:
        """The queue of the jobs that may go to these hosts."""
        if names not in self._queues:
            queue = self._queues[names] = deque()
            for name in names:
                self._queues_of[name].append(queue)
        return self._queues[names]

    def _queues_without(self, *places: Container[str]) -> list[tuple[str, ...]]:
        """The groups of hosts that jobs wait for, and of which none is in any of these places."""
        return [
            names
            for names, queue in self._queues.items()
            if queue and not any(name in place for name in names for place in places)
        ]

    def _fail_the_stranded(self) -> None:
        missed = {name for name in self._served & self._resting.keys() if self._resting[name].failures < _LOST_FOR_GOOD}
        for names in self._queues_without(self._usable, self._scouting, self._bare, self._unscouted, missed):
            obstacles = [self._dropped[name] for name in names]
            message = " ".join(obstacle.message for obstacle in obstacles[:_SHOWN_OBSTACLES])
            if len(obstacles) > 1:
                message = f"None of {len(obstacles)} hosts could take it. {message}"
            reason = obstacles[0].reason if obstacles else _NO_HOST
            next_step = obstacles[0].next_step if obstacles else ""
            queue = self._queues[names]
            while queue:
                job = queue.popleft()
                if job.host and reason in _UNHEARD:
                    self._watch.leave(job)
                    continue
                only = names[0] if len(names) == 1 else ""
                job.fail(reason, message or "None of its hosts is in the fleet config any more.", next_step, host=only)
                self._ledger.record(job)
