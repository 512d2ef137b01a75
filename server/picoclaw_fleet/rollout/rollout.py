"""Deploy and teardown of many hosts. What was begun goes on when a call stops waiting, and the same call joins it."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason, ReleaseError, UsageError
from picoclaw_fleet.jobs.board import Board, HostView
from picoclaw_fleet.releases import Binary, Platform, Releases
from picoclaw_fleet.releases.assets import tag_spellings
from picoclaw_fleet.rollout.canary import Canary
from picoclaw_fleet.rollout.host_run import HostProgress, HostResult, HostRun, Order, Outcome
from picoclaw_fleet.transport import LocalFile, Pool
from picoclaw_fleet.worker.host_lock import PATIENCE_SECONDS
from picoclaw_fleet.worker.install import Installation, Installed, Program
from picoclaw_fleet.worker.model_access import ModelAccess, key_variable, model_access
from picoclaw_fleet.worker.probe import Facts, PicoclawState
from picoclaw_fleet.worker.removal import remove
from picoclaw_fleet.worker.settings import settings_of

logger = logging.getLogger(__name__)

UPLOADS = 8
"""Uploads at a time: more don't make the last one earlier, only the first one later (facts: 50 hosts, 25 MB each)."""

HOSTS = 64
"""Hosts that are worked at at a time."""

REMEMBERED_SECONDS = 600.0
"""How long the end of a run that nobody saw is kept for the call that comes back for it."""

_NEWS_BYTES = 1 << 20

OnChange = Callable[[str, HostProgress], None]
_Work = Callable[[HostRun, Facts], Awaitable[HostResult]]


@dataclass(slots=True)
class _Wave:
    """The hosts of one call: those of the same kind of machine get the same binary, and share a canary for it.

    However long the call takes: a release that is published meanwhile, or a file that is changed, is not for it.
    """

    releases: Releases
    order: Order
    binaries: dict[Platform, Binary] = field(default_factory=dict[Platform, Binary])
    canaries: defaultdict[Platform, Canary] = field(init=False)

    def __post_init__(self) -> None:
        self.canaries = defaultdict(lambda: Canary(force=self.order.force))


class Rollout:
    """Deploys and teardowns, at most one at a time on each host.

    Args:
        pool: The connections.
        board: What is known of the hosts; it is told to look again where one has changed.
        tasks: Where the work goes on; it ends when they are cancelled, and the next deploy finishes it.
        patience: Seconds to wait for another controller that works at a host.
    """

    def __init__(self, pool: Pool, board: Board, tasks: TaskGroup, *, patience: float = PATIENCE_SECONDS) -> None:
        self._pool = pool
        self._board = board
        self._tasks = tasks
        self._patience = patience
        self._runs: dict[str, HostRun] = {}
        self._uploads = anyio.CapacityLimiter(UPLOADS)
        self._hosts = anyio.CapacityLimiter(HOSTS)
        self._changed = anyio.Event()

    def deploy(
        self,
        hosts: Sequence[Host],
        releases: Releases,
        *,
        version: str = "",
        force: bool = False,
        local: Path | None = None,
        unready_only: bool = False,
    ) -> list[HostRun]:
        """Begins to deploy, or joins the same deploy where it is under way. Returns at once; `watch` waits.

        Named hosts whose key is missing have failed when this returns, and nobody has been contacted by then.

        Args:
            hosts: Where, each once.
            releases: Where PicoClaw comes from.
            version: "" or "latest", or a tag.
            force: Don't wait for the canary.
            local: An archive or binary of the user's own in the place of a release; never from a tool.
            unready_only: Look first, and leave alone those where PicoClaw is ready.

        Returns:
            A run for each host, in their order.

        Raises:
            UsageError: The version is no tag.
        """
        tag_spellings(version)
        order = Order("deploy", version=version, local=local, force=force)
        wave = _Wave(releases, order)
        return [self._begin(host, order, partial(self._deploy, wave), unready_only=unready_only) for host in hosts]

    def teardown(self, hosts: Sequence[Host], *, purge: bool = False) -> list[HostRun]:
        """Begins to take PicoClaw away, or joins the same teardown. Returns at once; `watch` waits.

        Args:
            hosts: Where, each once.
            purge: Also what PicoClaw itself left behind.
        """
        order = Order("teardown", purge=purge)
        return [self._begin(host, order, self._tear_down) for host in hosts]

    async def watch(
        self, runs: Sequence[HostRun], on_change: OnChange | None = None, *, seconds: float | None = None
    ) -> None:
        """Returns when all runs have ended, or the time is up. Cancelling it ends the watching and nothing else.

        Args:
            runs: What to watch.
            on_change: Is told where a host has come further.
            seconds: How long; None for as long as it takes.
        """
        with anyio.move_on_after(seconds):
            await self._end_of(runs, on_change)
        # Not where the caller is cancelled: he comes back for what he could not be told.
        for run in runs:
            run.reported |= run.finished

    async def _end_of(self, runs: Sequence[HostRun], on_change: OnChange | None) -> None:
        shown: dict[str, HostProgress] = {}
        while True:
            changed = self._changed
            for run in runs:
                if on_change is not None and shown.get(run.host.name) != run.progress:
                    shown[run.host.name] = run.progress
                    on_change(run.host.name, run.progress)
            if all(run.finished for run in runs):
                return
            await changed.wait()

    def _begin(
        self,
        host: Host,
        order: Order,
        work: _Work,
        *,
        unready_only: bool = False,
    ) -> HostRun:
        current = self._runs.get(host.name)
        if current is not None and current.order == order and current.host == host:
            # Who names a host wants more than to hear that PicoClaw is ready there.
            current.unready_only &= unready_only
            remembered = not current.reported and current.age < REMEMBERED_SECONDS
            if not current.finished or (remembered and (unready_only or not current.was_ready)):
                return current
        elif current is not None and not current.finished:
            run = HostRun(host, order)
            run.end(HostResult.failed(_other_work(current)))
            return run
        run = self._runs[host.name] = HostRun(host, order, unready_only)
        try:
            if order.verb == "deploy" and not unready_only:
                _access(host)
        except HostError as error:
            run.end(HostResult.failed(error))
        else:
            self._tasks.start_soon(self._carry_out, run, work)
        return run

    async def _carry_out(self, run: HostRun, work: _Work) -> None:
        try:
            self._tell(run, "probe", 0, 0)
            view = await self._board.look(run.host)
            if view.trouble is not None:
                raise view.trouble
            assert view.facts is not None, "a look without trouble leaves facts"
            facts = view.facts
            if run.unready_only and view.obstacle() is None:
                run.was_ready = True
                result = HostResult(Outcome.UNCHANGED, message=f"{run.host.name}: PicoClaw is ready there.")
            else:
                self._tell(run, "waiting", 0, 0)
                async with self._hosts:
                    result = await work(run, facts)
        except (HostError, ReleaseError, UsageError) as error:
            result = HostResult.failed(error)
        except Exception:
            logger.exception("A %s broke off", run.order.verb)
            result = HostResult.failed(
                HostError("an internal error; see the server's log.", host=run.host.name, reason=Reason.PROTOCOL_ERROR)
            )
        run.end(result)
        self._note_change()

    async def _deploy(self, wave: _Wave, run: HostRun, facts: Facts) -> HostResult:
        access = _access(run.host)
        platform = Platform.from_uname(facts.system, facts.arch, await self._byte_order(run.host, facts))
        self._tell(run, "download", 0, 0)
        if platform not in wave.binaries:
            wave.binaries.setdefault(platform, await self._obtain(wave, run, platform))
        binary = wave.binaries[platform]
        file = await _opened(binary)
        try:
            source = "local" if wave.order.local else binary.source
            program = Program(file, binary.sha256, binary.version, source)
            self._tell(run, "waiting for the canary", 0, 0)
            work = partial(self._install, run, facts, program, access)
            installed = await wave.canaries[platform].after(run.host, work)
        finally:
            file.close()
        return HostResult(
            Outcome(installed.outcome),
            version=installed.version,
            source=source,
            digest=binary.sha256,
            kept=tuple(installed.kept),
        )

    async def _install(self, run: HostRun, facts: Facts, program: Program, access: ModelAccess) -> Installed:
        installation = Installation(
            self._pool,
            run.host,
            facts.name,
            program,
            access,
            on_step=partial(self._tell, run),
            room=self._uploads,
            patience=self._patience,
        )
        try:
            installed = await installation.run()
        finally:
            self._tell(run, "read back", 0, 0)
            view = await self._board.look(run.host, anew=True)
        if view.trouble is None and (obstacle := view.obstacle()):
            raise obstacle
        return installed

    async def _obtain(self, wave: _Wave, run: HostRun, platform: Platform) -> Binary:
        if wave.order.local is not None:
            return await wave.releases.local(wave.order.local)
        release = await wave.releases.find(wave.order.version, platform)
        return await wave.releases.binary(release, partial(self._tell, run, "download"))

    async def _tear_down(self, run: HostRun, facts: Facts) -> HostResult:
        variable = key_variable(run.host)
        removed = await remove(
            self._pool,
            run.host,
            facts.name,
            variables=(variable,) if variable else (),
            key=os.environ.get(variable, "").strip(),
            purge=run.order.purge,
            on_step=partial(self._tell, run),
            patience=self._patience,
        )
        view = await self._board.look(run.host, anew=True)
        kept = tuple(removed.kept) + _left(view, removed.kept)
        looked = "" if removed.key_searched else "No key is known here, so none could be looked for."
        return HostResult(
            Outcome.UNCHANGED if removed.nothing else Outcome.REMOVED,
            removed=tuple(removed.removed),
            kept=kept,
            message=f"{run.host.name}: there was nothing of ours." if removed.nothing else looked,
        )

    async def _byte_order(self, host: Host, facts: Facts) -> str:
        """What uname does not tell of mips: the sixth byte of any program there (ELF's EI_DATA)."""
        if not facts.arch.startswith("mips"):
            return ""
        done = await self._pool.run(host, "head -c 6 /proc/self/exe", timeout=30)
        return {1: "little", 2: "big"}.get(done.stdout[5] if len(done.stdout) > 5 else 0, "")

    def _tell(self, run: HostRun, step: str, done: int, total: int) -> None:
        old = run.progress
        if step == old.step and done < total and done - old.done < _NEWS_BYTES:
            return
        run.progress = HostProgress(step, done, total)
        self._note_change()

    def _note_change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


def _access(host: Host) -> ModelAccess:
    """The model and the key, where all that the host's settings refer to is there as well."""
    access = model_access(host)
    settings_of(host)
    return access


def _other_work(run: HostRun) -> HostError:
    return HostError(
        f"a {run.order.verb} is under way there ({run.progress}).",
        host=run.host.name,
        reason=Reason.LOCKED,
        retryable=True,
        next_step="Wait for it with the same call as before; then call again.",
    )


def _left(view: HostView, kept: Sequence[str]) -> tuple[str, ...]:
    """A PicoClaw that is there all the same, where the host has not named it itself."""
    facts = view.facts
    if view.trouble is not None or facts is None or facts.picoclaw is PicoclawState.MISSING:
        return ()
    if any(facts.path.endswith("/" + line.partition(":")[0]) for line in kept):
        return ()
    return (f"{facts.path}: a PicoClaw that deploy did not put there",)


async def _opened(binary: Binary) -> LocalFile:
    try:
        return await to_thread.run_sync(LocalFile, binary.path)
    except OSError as error:
        raise ReleaseError(
            f"{binary.path} can't be read any more ({error.strerror}).",
            reason=Reason.NO_RELEASE,
            retryable=True,
            next_step="Deploy again: what is missing is fetched anew.",
        ) from error
