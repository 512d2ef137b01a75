"""A host in the hands of somebody else: its `sh` answers the probe and the runner's calls with whatever it likes."""

from __future__ import annotations

from pathlib import Path

from tests.embedded_fleet import EmbeddedFleet

_SH = """\
#!/bin/sh
case "$*" in
  *" probe "*)
    nonce=$4
    cat <<EOF
$nonce host {name} boot 5.0 {load}
$nonce memory {memory}
$nonce running {running}
$nonce runner
$nonce machine Linux {arch}
$nonce cpus {cpus}
$nonce home 1 /home
$nonce disk a b c 99999999
$nonce picoclaw /usr/bin/picoclaw
$nonce stamp 7
$nonce version
picoclaw {version}
$nonce ready
$nonce answered 0
$nonce end
EOF
    ;;
  *runner-*) verb=$2 nonce=$3; {runner} ;;
  *) nonce=$4; {script} ;;
esac
"""
_HONEST = {
    "name": "liar",
    "load": "0.1",
    "memory": "1000000 900000",
    "running": "0",
    "arch": "x86_64",
    "cpus": "0-3",
    "version": "0.2.9",
    "runner": "exit 9",
    "script": "exit 9",
}


async def add_lying_host(fleet: EmbeddedFleet, name: str, /, **lies: str) -> None:
    """Adds a host that looks ready.

    Args:
        fleet: To which.
        name: Its name in the fleet config.
        lies: What it says in the place of the truth: `name`, `load`, `memory`, `running`, `arch`, `cpus`, `version`;
            and what it does, as shell commands that know a `nonce`: `runner` when a job is started, awaited or stopped,
            `script` when PicoClaw is deployed or taken away.
    """
    folder = fleet.folder / "hosts" / name / "bin"
    folder.mkdir(parents=True)
    shell = Path(folder, "sh")
    shell.write_text(_SH.format(**{**_HONEST, **lies}))
    shell.chmod(0o755)
    await fleet.add(name, picoclaw=b"", env={"PATH": f"{folder}:/usr/bin:/bin"})
