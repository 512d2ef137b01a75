"""Distance: proxies on loopback that deliver everything so much later as a long line would.

They run in a process of their own (`python -m bench.delay SECONDS PORT LISTEN=TARGET ...`), so that they don't compete
with who is measured for its event loop. A connection takes its round trip as well, although loopback makes it at once:
the target is only called when the third packet of TCP's greeting would be there, and speaks first.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import replace

from bench.lab import PORT, Lab

_CHUNK = 1 << 18
_End = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextmanager
def far_away(place: Lab, seconds: float) -> Generator[Lab]:
    """The same hosts at so many seconds of distance, each way."""
    hosts = tuple(replace(host, address=_beside(host.address)) for host in place.hosts)
    folder = place.folder / "far"
    folder.mkdir()
    known_hosts = folder / "known_hosts"
    key = (place.folder / "host_key.pub").read_text().strip()
    known_hosts.write_text("".join(f"[{host.address}]:{PORT} {key}\n" for host in hosts))
    ways = [f"{far.address}={near.address}" for far, near in zip(hosts, place.hosts, strict=True)]
    command = [sys.executable, "-m", "bench.delay", str(seconds), str(PORT), *ways]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as proxies:
        assert proxies.stdout is not None
        assert proxies.stdout.readline(), "the proxies did not start"
        try:
            yield replace(place, hosts=hosts, folder=folder, known_hosts=known_hosts)
        finally:
            proxies.kill()


def _beside(address: str) -> str:
    net, own, block, number = address.split(".")
    return f"{net}.{own}.{int(block) + 100}.{number}"


async def _serve(seconds: float, port: int, ways: dict[str, str]) -> None:
    """Carries until it is killed, or stdin ends because whoever started it is gone."""
    for listen, target in ways.items():
        await asyncio.start_server(_carrier(target, port, seconds), listen, port, backlog=1024)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)


def _carrier(
    target: str, port: int, seconds: float
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def call() -> _End:
        await asyncio.sleep(seconds)
        return await asyncio.open_connection(target, port)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2 * seconds)
        caller: asyncio.Future[_End] = asyncio.get_running_loop().create_future()
        caller.set_result((reader, writer))
        called = asyncio.create_task(call())
        await asyncio.gather(_one_way(caller, called, seconds), _one_way(called, caller, seconds))

    return carry


async def _one_way(source: asyncio.Future[_End], target: asyncio.Future[_End], seconds: float) -> None:
    """Delivers what comes, each piece at its time; b"" is the end."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        _, writer = await target
        piece = b"-"
        while piece:
            due, piece = await under_way.get()
            await asyncio.sleep(due - loop.time())
            writer.write(piece)
        writer.close()

    reader, _ = await source
    delivering = asyncio.create_task(deliver())
    piece = b"-"
    while piece:
        piece = b""
        with suppress(ConnectionError):
            piece = await reader.read(_CHUNK)
        under_way.put_nowait((loop.time() + seconds, piece))
    await delivering


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1]), int(sys.argv[2]), dict(way.split("=") for way in sys.argv[3:])))
