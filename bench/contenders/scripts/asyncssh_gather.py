"""asyncssh itself, in a process that has nothing else to do."""

from __future__ import annotations

import asyncio

from bench.contenders.bare_asyncssh import BareAsyncssh
from bench.contenders.scripts.rounds import answer, arguments, rounds


async def main() -> None:
    """Words: warm or cold, then runner or plain."""
    lab, count, (temperature, command) = arguments()
    warm = temperature == "warm"
    bare = BareAsyncssh("asyncssh", lab, count, runner=command == "runner", warm=warm)
    if warm:
        await bare.connect()
    answer(0)
    lines = rounds()
    while (tasks := await asyncio.to_thread(next, lines, None)) is not None:
        await bare.work(tasks)
        answer(len(tasks))


if __name__ == "__main__":
    asyncio.run(main())
