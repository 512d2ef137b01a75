"""What the skill takes out of a worker's words, with whichever awk the machine has: what the server takes out."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from shutil import which

import asyncssh
import pytest
from tests.skill.desk import SCRIPTS

from picoclaw_fleet.text.redaction import Redactor

BODY = "\n".join(f"MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ{line:014}" for line in range(20))
PEM = f"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n{BODY}\n-----END RSA PRIVATE KEY-----"
ARMOUR = f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{BODY}\n=abcd\n-----END PGP PRIVATE KEY BLOCK-----"
CUT = "-----BEGIN PRIVATE KEY-----\n" + BODY


AWKS = {
    os.path.realpath(found) for name in ("awk", "mawk", "gawk", "original-awk", "busybox") if (found := which(name))
}


@pytest.fixture(params=sorted(AWKS), ids=os.path.basename)
def tools(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A PATH on which that awk comes first; of BusyBox sed and tr as well."""
    program = Path(request.param)
    for name in ("awk", "sed", "tr") if program.name == "busybox" else ("awk",):
        (tmp_path / name).symlink_to(program)
    return f"{tmp_path}:/usr/bin:/bin"


def cleaned(text: str, tools: str) -> str:
    command = ["bash", "-c", '. "$0/lib.sh" && secrets= && cleaned', str(SCRIPTS)]
    done = subprocess.run(
        command, input=text.encode(), env={"PATH": tools}, capture_output=True, check=True, timeout=20
    )
    assert done.stderr == b""
    return done.stdout.decode()


@pytest.mark.parametrize(
    "text",
    [
        PEM,
        f"before {PEM} behind",
        f"{PEM}\n{PEM}\nand {ARMOUR}\n",
        json.dumps({"key": PEM}),
        f"{CUT}\nand so it goes on",
        CUT,
        f"{CUT}\n{PEM}\nlast",
        CUT.replace("\n", r"\n") + r"\n said the host",
        "-----BEGIN PRIVATE KEY-----\nis how it begins.\n\nNothing else is here.",
        "-----BEGIN PRIVATE KEY-----\n" + "no key is as long as this\n" * 400 + "-----END PRIVATE KEY-----",
        f"-----BEGIN CERTIFICATE-----\n{BODY}\n-----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY",
        "a line\n\n-----\nanother",
    ],
)
def test_private_keys_go_as_they_do_in_the_server(text: str, tools: str) -> None:
    assert cleaned(text, tools).rstrip("\n") == Redactor([]).redact(text).rstrip("\n")


def test_a_real_key_goes_and_what_is_around_it_stays(tools: str) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")  # pyright: ignore[reportUnknownMemberType]
    text = f"first\n{key.export_private_key('openssh').decode()}last\n"
    assert cleaned(text, tools) == "first\n[secret]\nlast\n"
