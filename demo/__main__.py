"""The demo: a fleet of embedded hosts at work, driven through MCP as an AI agent would do it.

The hosts are SSH servers inside this process, with temporary homes and a stand-in for PicoClaw. All else is real: the
installed server, started by an MCP client over stdio, and what it does over SSH.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import anyio
from demo.caller import Caller, RefusedError
from demo.fleet import client_of_fleet
from demo.screen import Screen
from mcp import Client
from tests.embedded_fleet import COMMAND

from picoclaw_fleet.clients import Launch, client_named
from picoclaw_fleet.config.file import DEFAULT_PATH

KERNEL = "Which kernel does this machine run?"
REPORTS = [f"Read report {number} and say what is unusual." for number in range(1, 12)]
ENDLESS = {"task": "Wait until the printer is free.", "timeout_seconds": 3}


class Demo:
    """Shows calls, and notes what does not come out as it should.

    Args:
        client: Connected to the server.
        screen: Where to show them.

    Attributes:
        wrong: What came out otherwise than it should; empty in the end when all is well.
    """

    def __init__(self, client: Client, screen: Screen) -> None:
        self._screen = screen
        self._call = Caller(client, screen)
        self.wrong: list[str] = []

    async def run(self) -> None:
        """Shows the main job from beginning to end, or as far as it gets."""
        try:
            await self._run()
        except RefusedError as error:
            self.wrong.append(str(error))

    async def _run(self) -> None:
        self._screen.heading("1. Look at the fleet")
        self._screen.say("Three hosts are up. One is down on purpose: it is reported, and holds up nobody.")
        status = await self._call("fleet_status")
        self._expect("the hosts that are ready", [host["picoclaw"] for host in status["hosts"]].count("ready"), 3)
        self._expect("the reason of the one that is down", status["hosts"][-1].get("reason"), "unreachable")

        self._screen.heading("2. One task for one worker")
        self._screen.say("No host is named: the least busy one that is ready gets it.")
        job = await self._call("dispatch", task=KERNEL)
        self._expect("the state of the job", job["state"], "succeeded")

        self._screen.heading("3. Twelve tasks for six slots, one of which never ends")
        self._screen.say("Each free slot takes the next task. The endless one is stopped after 3 s, on its host.")
        batch = await self._call("dispatch_many", tasks=[ENDLESS, *REPORTS])
        self._expect("the tasks that succeeded", batch["counts"]["succeeded"], len(REPORTS))
        self._expect("the tasks that timed out", batch["counts"]["timed_out"], 1)
        self._expect("whether there was progress to see", self._call.reports > 0, True)

        self._screen.heading("4. One task for every host")
        self._screen.say("The same answer is shown once with all its hosts, and a host that fails stops no other.")
        everywhere = await self._call("dispatch_many", tasks=[KERNEL], hosts=["all"], mode="broadcast")
        self._expect("the hosts that answered", everywhere["counts"]["succeeded"], 3)
        self._expect("the hosts that did not", everywhere["counts"]["failed"], 1)

    def _expect(self, what: str, found: object, expected: object) -> None:
        if found != expected:
            self.wrong.append(f"{what}: {found!r}, and not {expected!r}")


async def show(screen: Screen) -> Sequence[str]:
    """Runs the demo; returns what went wrong."""
    screen.say(
        "A fleet of embedded hosts: SSH servers inside this process, with temporary homes and a stand-in for PicoClaw. "
        "The MCP server, its client and the SSH between them and the hosts are real."
    )
    async with client_of_fleet() as client:
        demo = Demo(client, screen)
        await demo.run()
    return demo.wrong


def tell_next_steps(screen: Screen) -> None:
    """Says what to type for one's own fleet."""
    screen.heading("Now your own fleet")
    screen.say(f"Add each machine that you reach with ssh; they are written into {DEFAULT_PATH}:")
    screen.command(f"{COMMAND} add pi1 --host 192.168.50.57 --user eric")
    screen.say("See what is missing, and put PicoClaw there:")
    screen.command(f"{COMMAND} doctor --probe")
    screen.command(f"{COMMAND} deploy")
    screen.say("Register the server in your client, one of:")
    for name in ("claude-code", "codex", "openclaw"):
        screen.command(client_named(name).own_command(Launch(COMMAND)))
    screen.say('And ask it: "How is my fleet?"')


def main() -> int:
    """Runs the demo; 0 when everything came out as it should."""
    screen = Screen()
    try:
        wrong = anyio.run(show, screen)
    except KeyboardInterrupt:
        screen.say("\nStopped. Nothing of the demo is left.")
        return 130
    except BaseExceptionGroup as group:
        # Rich exits where nobody reads any more, and that comes out of the client's task groups.
        if not group.subgroup(SystemExit):
            raise
        return 1
    for problem in wrong:
        screen.trouble(f"This came out wrong: {problem}.")
    if not wrong:
        tell_next_steps(screen)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
