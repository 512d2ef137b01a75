"""Where the snippets of a document are run: a home, hosts at the addresses that the documents name, and a terminal."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import standin
from tests.certificate import self_signed
from tests.cli.terminal import on_terminal
from tests.docs.snippets import ROOT
from tests.embedded_fleet import EmbeddedFleet
from tests.github import GitHub, picoclaw_files
from tests.quick_start import quick_command

ADDRESSES = {"pi1": ("192.168.50.57", "HOST"), "pi2": ("192.168.50.58",)}
"""Those of the documents, of which ~/.ssh/config knows where they really are."""

_BEGINNING = """\
unset BASH_ENV
set -e -o pipefail
trap 'echo "line $LINENO failed"' ERR
trap 'kill ${server-} 2>/dev/null || :' EXIT

# It serves until the end, or until the next one does; what follows waits until it is there.
picoclaw-fleet() {
    [ "$1" = serve ] || { command picoclaw-fleet "$@"; return; }
    kill ${server-} 2>/dev/null || :
    rm -f said
    mkfifo said
    command picoclaw-fleet "$@" 2>said &
    server=$!
    exec 9<said
    read -r line <&9
    case $line in "Serving MCP at "*) ;; *) echo "$line" && return 1 ;; esac
}

# It makes far too much for a snippet; that it knows what to do is enough.
make() { command make --directory "$ROOT" --dry-run "$@" >/dev/null; }

# Whoever is asked agrees; what is said stays readable.
export NO_COLOR=1
"""


@dataclass(frozen=True)
class Place:
    """A controller whose hosts are those of the documents.

    Attributes:
        fleet: Its hosts and folders.
        environment: The environment of a shell there.
    """

    fleet: EmbeddedFleet
    environment: Mapping[str, str]

    async def run(self, script: str, *, folder: Path, without: Mapping[str, str], patience: float) -> tuple[int, str]:
        """Runs a script on a terminal; whoever asks a question there is answered yes.

        Args:
            script: For bash.
            folder: Where it begins.
            without: The commands that are passed over.
            patience: How many seconds it may take.

        Returns:
            The exit status, and all that was shown.
        """
        beginning = _BEGINNING + "".join(f"{command}() {{ :; }}\n" for command in without)
        start, file = self.fleet.folder / "start", self.fleet.folder / "script"
        start.write_text(beginning)
        file.write_text(script)
        environment = {**self.environment, "BASH_ENV": str(start), "ROOT": str(ROOT)}
        async with on_terminal("bash", str(file), folder=folder, env=environment) as screen:
            screen.type(b"y\n" * 20)
            return await screen.end(patience), screen.screen


@asynccontextmanager
async def place(folder: Path, *, bare: bool) -> AsyncGenerator[Place]:
    """Makes one.

    Args:
        folder: Where everything goes.
        bare: Whether everything is yet to be done: no host is known, and none has PicoClaw.
    """
    with GitHub() as github:
        github.publish("sipeed/picoclaw", "v0.2.9", picoclaw_files(standin.executable()))
        async with EmbeddedFleet(folder / "fleet") as fleet:
            for name in ADDRESSES:
                await fleet.add(name, picoclaw=b"" if bare else None)
            fleet.entries = []
            fleet.defaults = {"github_api": github.api}
            fleet.write_config()
            _settle(fleet, known=not bare)
            yield Place(fleet, _environment(fleet))


def _environment(fleet: EmbeddedFleet) -> dict[str, str]:
    programs = [Path(quick_command()).parent, Path(sys.executable).parent]
    return {
        "HOME": str(fleet.home),
        "PATH": ":".join([*map(str, programs), os.environ["PATH"]]),
        "TMPDIR": str(fleet.folder),
        # ssh itself takes the home that passwd names.
        "PICOCLAW_SSH_OPTIONS": f"-F {fleet.home}/.ssh/config",
    }


def _settle(fleet: EmbeddedFleet, *, known: bool) -> None:
    """Fills the home with what is there before anybody reads the documents."""
    home, ssh = fleet.home, fleet.home / ".ssh"
    config = home / ".openclaw/workspace/config/picoclaw-fleet.json"
    config.parent.mkdir(parents=True)
    fleet.config.rename(config)
    ssh.mkdir(mode=0o700)
    for name in ("id_ed25519", "id_rsa"):
        shutil.copy(fleet.folder / "id_ed25519", ssh / name)
    lines = [f"UserKnownHostsFile {ssh}/known_hosts", f"IdentityFile {ssh}/id_ed25519", "IdentitiesOnly yes"]
    for name, addresses in ADDRESSES.items():
        lines += [f"Host {' '.join(addresses)}", "HostName 127.0.0.1", f"Port {fleet.hosts[name].port}"]
    (ssh / "config").write_text("\n".join(lines) + "\n")
    keys = [f"[127.0.0.1]:{host.port} {host.host_key}\n" for host in fleet.hosts.values()]
    (ssh / "known_hosts").write_text("".join(keys) if known else "")
    certificate, key = self_signed(home)
    certificate.rename(home / "fleet.pem")
    key.rename(home / "fleet.key")
