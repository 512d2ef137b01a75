"""Taking PicoClaw away from one host again, and reading back that it is gone. removal.sh does the work over there."""

from __future__ import annotations

from dataclasses import dataclass, field

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.transport import Pool
from picoclaw_fleet.worker.host_lock import HostLock, lock_lost
from picoclaw_fleet.worker.install import OnStep
from picoclaw_fleet.worker.script import REMOVAL


@dataclass(frozen=True, slots=True)
class Removed:
    """What a teardown did on one host. Paths are relative to the home.

    Attributes:
        removed: What is gone; it was looked for again.
        kept: What was left, and why.
        nothing: True when there was nothing of ours.
        key_searched: Whether it was possible to look for the key: it is known here, or was found in ~/.picoclaw/.env.
    """

    removed: list[str] = field(default_factory=list[str])
    kept: list[str] = field(default_factory=list[str])
    nothing: bool = False
    key_searched: bool = False


async def remove(
    pool: Pool,
    host: Host,
    name: str,
    *,
    variables: tuple[str, ...],
    key: str,
    purge: bool,
    on_step: OnStep,
    patience: float,
) -> Removed:
    """Takes away what deploy, or the shell scripts of old, put there.

    Args:
        pool: The connections.
        host: Where.
        name: The host's own name, as the probe read it.
        variables: The names of the variables that hold a key, to find it in ~/.picoclaw/.env.
        key: The key as it is known here, to be looked for afterwards; "" when it isn't.
        purge: Also what PicoClaw itself left behind; never a workspace with anything of the owner's in it.
        on_step: Is told how far it is.
        patience: Seconds to wait for another controller.

    Raises:
        HostError: busy, with the jobs or the gateway that run there; or it could not be done.
    """
    lock = HostLock(pool, host, name, patience=patience)
    words = ["remove", "purge" if purge else "plain", "|".join(("PROVIDER", *variables))]
    on_step("removing", 0, 0)
    said = await lock.take(
        REMOVAL,
        *words,
        stdin=f"{key}\n".encode(),
        secrets=(key,),
        on_wait=lambda holder: on_step(f"waiting for {holder}", 0, 0),
    )
    match said.failure:
        case None:
            pass
        case ["busy", *jobs]:
            raise HostError(
                f"jobs run there: {', '.join(jobs)}.",
                host=host.name,
                reason=Reason.BUSY,
                retryable=True,
                next_step="Wait for their end, or cancel them; then tear down again.",
            )
        case ["gateway", *process]:
            raise HostError(
                f"a PicoClaw (process {' '.join(process)}) that no job started runs from there, a gateway perhaps.",
                host=host.name,
                reason=Reason.BUSY,
                next_step="Stop it on the host first; nothing was removed.",
            )
        case ["locked", *_]:
            raise lock_lost(host)
        case ["disk_full", *rest]:
            raise HostError(
                f"{' '.join(rest)}.",
                host=host.name,
                reason=Reason.DISK_FULL,
                next_step="Free some space in the home there: a few KB do, for a teardown's lock. Nothing was removed.",
            )
        case [reason, *rest]:
            known = reason == Reason.HOME_NOT_WRITABLE
            raise HostError(
                f"{' '.join(rest) or reason}.",
                host=host.name,
                reason=Reason(reason) if known else Reason.PROTOCOL_ERROR,
                next_step="Check free space, owner and mode of ~/.picoclaw there.",
            )
        case _:
            raise AssertionError("a failure has a reason")
    return Removed(
        removed=said.all("removed"),
        kept=said.kept(),
        nothing=bool(said.all("nothing")),
        key_searched="searched" in said.all("key"),
    )
