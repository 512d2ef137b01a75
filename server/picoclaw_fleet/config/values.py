"""The values that may stand in the fleet config: their forms, what each form asks for in words, and their types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, TypeVar, cast

from pydantic import AfterValidator, BeforeValidator, Field, Strict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from picoclaw_fleet.errors import UsageError
from picoclaw_fleet.text.secret_shapes import looks_like_secret, names_a_secret

HIGHEST_PORT = 65_535
RESERVED_NAMES = ("all", "none")
SHORTEST_SECRET = 8

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
ENV_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
LINE = r"^[^\x00-\x1f\x7f]*$"
WORD = r"^[^\s\x00-\x1f\x7f-][^\s\x00-\x1f\x7f]*$"
# What means something to a shell stands in no name: ~/.ssh/config may put a name into the shell of a ProxyCommand.
# OpenSSH refuses the same (ssh.c, valid_hostname and valid_ruser).
_MARKS = r"'\"`$\\;&<>|(){}"
_IN_ALIAS = rf"[^\s\x00-\x1f\x7f{_MARKS}"
_IN_NAME = rf"{_IN_ALIAS}@/:,\[\]"
_IN_LOGIN = r"[^\s\x00-\x1f\x7f'\"`;&<>|(){}"
ALIAS = rf"^{_IN_ALIAS}-]{_IN_ALIAS}]*$"
LOGIN = rf"^{_IN_LOGIN}\\-](?:{_IN_LOGIN}]*{_IN_LOGIN}\\])?$"
ADDRESS = (
    rf"^(?:{_IN_NAME}-]{_IN_NAME}]*"
    r"|[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9._-]+)?)$"
)
_HOP = (
    rf"(?:{_IN_NAME}-]{_IN_NAME}]*@)?"
    rf"(?:\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._-]+)?\]|{_IN_NAME}-]{_IN_NAME}]*)"
    r"(?::[1-9][0-9]{0,4})?"
)
JUMP = rf"^{_HOP}(?:,{_HOP})*$"
HOST_KEY = (
    r"^(?:SHA256:[A-Za-z0-9+/]{43}=?"
    r"|(?:ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)"
    r" AAAA[A-Za-z0-9+/]+={0,2}(?: [^\x00-\x1f\x7f]*)?)$"
)
FILE = r"^(?:/|~/)[^\x00-\x1f\x7f]+$"
URL = r"^https?://[^\s\x00-\x1f\x7f@]+$"
REPO = r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}$"
SHA256 = r"^[0-9a-f]{64}$"
_HTTP_HOST = r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[1-9][0-9]{0,4})?"
HTTP_HOST = rf"^{_HTTP_HOST}$"
ORIGIN = rf"^https?://{_HTTP_HOST}$"
VERSION = r"^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$"

FORMS: Mapping[str, str] = MappingProxyType(
    {
        NAME: "has to begin with a letter or digit and hold only letters, digits, '.', '_' and '-' (63 at most)",
        ENV_NAME: "has to be the name of an environment variable, such as ANTHROPIC_API_KEY",
        LINE: "has to be one line of text without control characters",
        WORD: "has to be one word without blanks that does not begin with '-'",
        ALIAS: "has to be one word without blanks and without what shells give a meaning to, such as ; or $",
        LOGIN: "has to be a login name: one word without quotes and without what shells give a meaning to, such as ;",
        ADDRESS: "has to be a host name or an IP address alone; a login name stands under 'user', a port under 'port'",
        JUMP: "has to be a host's name or user@host:port, several hops separated by commas",
        HOST_KEY: "has to be a public host key such as 'ssh-ed25519 AAAA...', or its fingerprint 'SHA256:...'",
        FILE: "has to be a path that begins with / or ~/",
        URL: "has to be an address that begins with http:// or https://, without a login in it",
        REPO: "has to be a GitHub repository as owner/name",
        SHA256: "has to be the SHA-256 of a token, as `picoclaw-fleet token NAME` prints it",
        HTTP_HOST: "has to be a name or an address with or without a port, such as fleet.lan or fleet.lan:8000",
        ORIGIN: "has to be a web origin such as https://fleet.lan:8000: no path, no wildcard",
        VERSION: "has to be 'latest' or a release tag such as v0.2.9, never a path",
    }
)
"""What each pattern above asks for, in words: an error shows these instead of the pattern."""

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_ARCHITECTURES = {
    "amd64": ("x86_64", "x86-64", "x64"),
    "arm64": ("aarch64", "armv8", "armv8l"),
    "armv7": ("armv7l", "armv7hl", "armhf"),
    "armv6": ("armv6l", "armv6hl", "armel"),
    "386": ("i386", "i486", "i586", "i686", "x86"),
    "loong64": ("loongarch64",),
    "mipsle": ("mipsel",),
}
_CANONICAL = {alias: name for name, aliases in _ARCHITECTURES.items() for alias in aliases}


def canonical_arch(arch: str) -> str:
    """One name for each architecture, whatever `uname -m`, Debian or Go call it: amd64, arm64, armv7, riscv64.

    What is not known is kept, in lower case.
    """
    lowered = arch.strip().lower()
    return _CANONICAL.get(lowered, lowered)


def referenced_variable(value: str) -> str | None:
    """The variable that an `env` value of the form `${NAME}` stands for; None when the value is meant as it is.

    The variable is read from the controller's environment when a worker's environment is built.
    """
    match = _REFERENCE.fullmatch(value)
    return match[1] if match else None


def expand_home(path: str) -> Path:
    """Replaces a leading ~ by the home directory of the running process, and ~NAME by that of another user.

    Raises:
        UsageError: There is no telling what the home directory is.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"{path!r} begins with a home directory that is not known.", next_step="Set HOME, or begin it with /."
        ) from error


def _name_a_variable_not_the_key(value: object) -> object:
    if isinstance(value, str) and looks_like_secret(value):
        raise PydanticCustomError(
            "literal_secret",
            "looks like a key itself; put the key into an environment variable of the controller and write that "
            "variable's name here",
        )
    return value


def _no_secret_but_by_reference(value: str) -> str:
    if looks_like_secret(value):
        raise _literal_secret()
    if "${" in value and not referenced_variable(value):
        raise PydanticCustomError("partial_reference", "has to be ${NAME} alone: nothing may stand around it")
    return value


def _no_secret_by_name(env: dict[str, str]) -> dict[str, str]:
    literal = [
        InitErrorDetails(type=_literal_secret(), loc=(name,), input=None)
        for name, value in env.items()
        if names_a_secret(name) and len(value) >= SHORTEST_SECRET and not referenced_variable(value)
    ]
    if literal:
        raise ValidationError.from_exception_data("env", literal, hide_input=True)
    return env


def _literal_secret() -> PydanticCustomError:
    return PydanticCustomError(
        "literal_secret",
        'looks like a literal secret; put it into an environment variable of the controller and write "${NAME}" here',
    )


def _not_reserved(name: str) -> str:
    if name in RESERVED_NAMES:
        raise PydanticCustomError(
            "reserved_name", "may not be 'all' or 'none': these words have a meaning of their own"
        )
    return name


def _join_hops(value: object) -> object:
    if not isinstance(value, list):
        return value
    hops = cast("list[object]", value)
    if not all(isinstance(hop, str) for hop in hops):
        raise PydanticCustomError("hops", "has to be text in double quotes, or a list of such texts")
    return ",".join(cast("list[str]", hops))


def _ports_exist(jump: str) -> str:
    if any(int(port) > HIGHEST_PORT for port in re.findall(r":([0-9]+)(?:,|$)", jump)):
        raise PydanticCustomError("port", "has a port above 65535")
    return jump


def _not_empty(items: tuple[object, ...]) -> tuple[object, ...]:
    # Where min_length says so, a list whose only item is wrong counts as empty besides.
    if not items:
        raise PydanticCustomError("empty", "has to have at least one entry")
    return items


Name = Annotated[str, Field(pattern=NAME)]
HostName = Annotated[Name, AfterValidator(_not_reserved)]
Address = Annotated[str, Field(pattern=ADDRESS, max_length=255)]
Arch = Annotated[str, Field(pattern=WORD, max_length=32), AfterValidator(canonical_arch)]
Alias = Annotated[str, Field(pattern=ALIAS, max_length=255)]
Login = Annotated[str, Field(pattern=LOGIN, max_length=255)]
Word = Annotated[str, Field(pattern=WORD, max_length=255)]
HostKey = Annotated[str, Field(pattern=HOST_KEY)]
Port = Annotated[int, Field(ge=1, le=HIGHEST_PORT)]
Repo = Annotated[str, Field(pattern=REPO)]
Version = Annotated[str, Field(pattern=VERSION)]
File = Annotated[str, Field(pattern=FILE)]
Url = Annotated[str, Field(pattern=URL)]
Sha256 = Annotated[str, Field(pattern=SHA256)]
HttpHost = Annotated[str, Field(pattern=HTTP_HOST, max_length=255)]
Origin = Annotated[str, Field(pattern=ORIGIN, max_length=255)]
SecretName = Annotated[str, Field(pattern=ENV_NAME), BeforeValidator(_name_a_variable_not_the_key)]
Env = Annotated[
    dict[
        Annotated[str, Field(pattern=ENV_NAME)],
        Annotated[str, Field(pattern=LINE), AfterValidator(_no_secret_but_by_reference)],
    ],
    AfterValidator(_no_secret_by_name),
]
Jump = Annotated[
    str,
    Field(pattern=JUMP),
    AfterValidator(_ports_exist),
    BeforeValidator(_join_hops, json_schema_input_type=str | list[str]),
]
Slots = Annotated[int, Field(ge=1, le=1000)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Item = TypeVar("Item")
List = Annotated[tuple[Item, ...], Strict(False)]
"""A JSON list; without Strict(False) the strict models below would take nothing but Python tuples."""
NonEmpty = Annotated[List[Item], AfterValidator(_not_empty), Field(json_schema_extra={"minItems": 1})]
