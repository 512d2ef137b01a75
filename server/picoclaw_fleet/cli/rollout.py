"""Staying with deploys and teardowns until they are done."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

import anyio

from picoclaw_fleet.cli.documents import End
from picoclaw_fleet.cli.live import Picture, Row, Screen
from picoclaw_fleet.cli.output import print_event, print_notices, print_table, say, trouble
from picoclaw_fleet.report import GO_ON
from picoclaw_fleet.results import HostEntry, HostsResult


async def follow(
    work: Callable[[Sequence[str]], Awaitable[HostsResult]], hosts: Sequence[str], screen: Screen, *, as_json: bool
) -> list[HostEntry]:
    """Makes the same call again and again, each time for the hosts that are not done.

    Args:
        work: The call: returns soon, with outcome in_progress where it isn't done. Joined by the same call.
        hosts: Selectors, as they were given.
        screen: Where progress is shown.
        as_json: Whether to print a line for each host that is done.

    Returns:
        All hosts, in the order of the config.
    """
    began = time.monotonic()
    entries: dict[str, HostEntry] = {}
    shown: dict[str, str] = {}
    notices: dict[str, None] = {}
    wanted = hosts
    try:
        while True:
            result = await work(wanted)
            # That is asked for again here, so it is no news.
            notices.update(dict.fromkeys(notice for notice in result.notices if not notice.endswith(GO_ON)))
            # Where only those that are not ready are meant, one that was found ready is not told of any more.
            for name in set(wanted) - {entry.name for entry in result.hosts}:
                entries.pop(name, None)
            entries.update((entry.name, entry) for entry in result.hosts)
            elapsed = time.monotonic() - began
            news = [f"{entry.name} {_step(entry)}" for entry in result.hosts if shown.get(entry.name) != _step(entry)]
            shown.update((entry.name, _step(entry)) for entry in result.hosts)
            for entry in result.hosts:
                if as_json and not _under_way(entry):
                    print_event("host", entry)
            screen.show(Picture(_rows(entries.values(), elapsed), _footer(entries.values(), elapsed), news))
            wanted = [entry.name for entry in result.hosts if _under_way(entry)]
            if not wanted:
                break
    except anyio.get_cancelled_exc_class():
        screen.close()
        _say_interrupted(entries.values())
        raise
    finally:
        screen.close()
    summary = _tally(entries.values()) if len(entries) > len(result.hosts) else result.summary
    if as_json:
        print_event("result", End(summary=summary, notices=list(notices)))
    else:
        say(summary)
        print_notices(list(notices))
    return list(entries.values())


def print_hosts(entries: Sequence[HostEntry]) -> None:
    """Prints what became of each host."""
    if not entries:
        return
    rows = [(entry.name, entry.outcome or "-", entry.version, entry.arch, entry.source) for entry in entries]
    print_table(("host", "outcome", "version", "arch", "source"), rows, state=1)
    for entry in entries:
        for title, paths in (("removed", entry.removed), ("kept", entry.kept)):
            for path in paths or ():
                say(f"{entry.name}: {title} {path}")
        if entry.reason:
            say(f"{entry.name}: {trouble(entry, entry.name)}")
        elif entry.message and not _under_way(entry):
            say(f"{entry.name}: {entry.message.removeprefix(f'{entry.name}: ')}")


def _say_interrupted(entries: Iterable[HostEntry]) -> None:
    where = ", ".join(f"{entry.name} ({_step(entry)})" for entry in entries if _under_way(entry))
    stopped = f"Stopped at {where}; nothing is broken by that. " if where else ""
    say(f"{stopped}The same command again goes on from there.")


def _under_way(entry: HostEntry) -> bool:
    return entry.outcome == "in_progress"


def _step(entry: HostEntry) -> str:
    """What goes on at a host, or how it ended."""
    if _under_way(entry) and entry.message:
        return entry.message.removeprefix(f"{entry.name}: ").rstrip(".")
    return f"{entry.outcome}" + (f" ({entry.reason})" if entry.reason else "")


def _rows(entries: Iterable[HostEntry], elapsed: float) -> list[Row]:
    rows = [Row(entry.name, _step(entry), seconds=elapsed if _under_way(entry) else None) for entry in entries]
    return sorted(rows, key=lambda row: row.seconds is None)


def _footer(entries: Collection[HostEntry], elapsed: float) -> str:
    done = sum(not _under_way(entry) for entry in entries)
    return f"{done} of {len(entries)} hosts are done, {elapsed:.0f} s"


def _tally(entries: Iterable[HostEntry]) -> str:
    counts = Counter(entry.outcome or "unknown" for entry in entries)
    return ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) + "."
