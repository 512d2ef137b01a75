"""What --json prints that no tool returns: documents of the command line's own, and the lines of long work."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from picoclaw_fleet.results import Counts


class Document(BaseModel):
    """One of them; as in the results, what has nothing to say is left out."""

    model_config = ConfigDict(extra="forbid")


class ConfiguredHost(Document):
    """A host as the fleet config has it, with the defaults applied."""

    name: str = Field(description="What it is called here.")
    host: str = Field(description="Its address, or an alias from ~/.ssh/config.")
    port: int | None = Field(default=None, description="SSH port.")
    user: str | None = Field(default=None, description="Login name.")
    ssh_key: str | None = Field(default=None, description="Private key file.")
    jump: str | None = Field(default=None, description="Jump hosts on the way.")
    arch: str | None = Field(default=None, description="Processor.")
    tags: list[str] | None = Field(default=None, description="Words to select it by.")
    slots: int | None = Field(default=None, description="How many jobs may run there at once.")
    provider: str | None = Field(default=None, description="Model provider.")
    model: str | None = Field(default=None, description="Model id.")


class HostList(Document):
    """What `hosts` prints."""

    summary: str = Field(description="How many there are.")
    hosts: list[ConfiguredHost] = Field(description="In config order.")


class ClientState(Document):
    """An MCP client."""

    client: str = Field(description="Its name for `clients install`.")
    state: str = Field(description="installed, - (it does not know this server) or unreadable (its file).")
    file: str = Field(description="Its configuration file.")


class ClientList(Document):
    """What `clients show` prints."""

    clients: list[ClientState] = Field(description="All clients that are known here.")


class ClientEntry(Document):
    """What `clients show NAME` prints."""

    client: str = Field(description="The client.")
    file: str = Field(description="Where the entry belongs.")
    path: list[str] = Field(description="The keys under which it stands there.")
    entry: dict[str, Any] = Field(description="What `clients install` would write.")
    command: str | None = Field(default=None, description="A command of the client's own that does the same.")
    notices: list[str] = Field(default_factory=list, description="What the user should know besides.")


class TokenEntry(Document):
    """An entry of `http.tokens` in the fleet config."""

    name: str = Field(description="Who calls with it.")
    sha256: str = Field(description="The token's hash.")
    scopes: list[str] = Field(description="What it may do: read, dispatch, admin.")


class MadeToken(Document):
    """What `token` prints."""

    token: str = Field(description="The token, shown now and never again: for the client.")
    entry: TokenEntry = Field(description="For the fleet config.")


class Version(Document):
    """The first line."""

    ui: str = Field(description="Of these lines: the second number rises when something is added, the first otherwise.")


class Started(Document):
    """The jobs are taken in."""

    job_id: str | None = Field(default=None, description="The job, of `dispatch`.")
    batch_id: str | None = Field(default=None, description="The batch, of `map`.")
    total: int = Field(description="How many jobs there are.")


class Progress(Document):
    """The numbers have changed."""

    counts: dict[str, int] = Field(description="How many jobs are in each state; states without any are left out.")
    elapsed_seconds: float = Field(description="Since the command began.")


class End(Document):
    """The last line."""

    summary: str = Field(description="What happened, in a sentence or two.")
    notices: list[str] = Field(default_factory=list, description="What came up besides.")
    job_id: str | None = Field(default=None, description="The job, of `dispatch`.")
    batch_id: str | None = Field(default=None, description="The batch, of `map`.")
    counts: Counts | None = Field(default=None, description="Of a batch.")
    next_step: str | None = Field(default=None, description="What to do now.")
