"""What the figures were taken on: the machine, and the versions of all who take part."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.contenders.fanout_tools import TOOLS
from bench.contenders.libraries import ENVIRONMENT

_LIBRARIES = ("ansible-core", "parallel-ssh", "fabric", "pyinfra")
_PRINT_VERSIONS = "import sys, importlib.metadata as m; print(*map(m.version, sys.argv[1:]), sep='\\n')"


def describe() -> dict[str, str]:
    """Each thing by its name."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": f"{os.cpu_count()} x {_after_colon(Path('/proc/cpuinfo'), 'model name')}",
        "memory": f"{memory / 2**30:.0f} GB",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "system": f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Linux {platform.release()}",
        "Python": platform.python_version(),
        "picoclaw-fleet": version("picoclaw-fleet"),
        "asyncssh": version("asyncssh"),
        "OpenSSH": _said("ssh", "-V"),
        **{
            tool.name: _said(tool.found() or tool.program[0], "-V" if tool.name == "pdsh" else "--version")
            for tool in TOOLS
        },
        **_libraries(),
    }


def _libraries() -> dict[str, str]:
    python = str(ENVIRONMENT / "bin/python")
    versions = _said(python, "-c", _PRINT_VERSIONS, *_LIBRARIES, lines=len(_LIBRARIES)).splitlines()
    return dict(zip(_LIBRARIES, versions, strict=False))


def _said(program: str, *words: str, lines: int = 1) -> str:
    """The first lines that a program prints."""
    if shutil.which(program) is None:
        return "not installed"
    process = subprocess.run(
        [program, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True
    )
    return "\n".join(process.stdout.splitlines()[:lines])


def _after_colon(file: Path, key: str) -> str:
    lines = file.read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), platform.machine())
