"""The fleet config: the models of what the user writes, and the only place that says what each key means."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from picoclaw_fleet.bearer_token import SCOPES, Scope
from picoclaw_fleet.config.values import (
    Address,
    Alias,
    Arch,
    Env,
    File,
    HostKey,
    HostName,
    HttpHost,
    Jump,
    List,
    Login,
    Name,
    NonEmpty,
    Origin,
    Port,
    Repo,
    Seconds,
    SecretName,
    Sha256,
    Slots,
    Url,
    Version,
    Word,
)

PROVIDER = "anthropic"
API_KEY_ENV = "ANTHROPIC_API_KEY"
CONNECT_TIMEOUT = 10.0
IDLE_TIMEOUT = 300.0


class Settings(BaseModel):
    """What may stand in `defaults` and in each host; None means that it was left out."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    user: Login | None = Field(
        default=None, description="Login name. Left out: what ~/.ssh/config says, else your own."
    )
    port: Port | None = Field(default=None, description="SSH port. Left out: what ~/.ssh/config says, else 22.")
    ssh_key: File | None = Field(
        default=None, description="Private key file. Left out: ~/.ssh/config, ssh-agent and the usual files are tried."
    )
    certificate: File | None = Field(default=None, description="OpenSSH user certificate that belongs to ssh_key.")
    key_passphrase_env: SecretName | None = Field(
        default=None, description="Environment variable of the controller that holds the passphrase of ssh_key."
    )
    jump: Jump | None = Field(
        default=None,
        description="Jump hosts on the way: names of hosts in this file, or user@host:port; several separated by "
        "commas, or as a list. A host is never reached through itself. 'none': no jump host in spite of the defaults.",
    )
    host_key: HostKey | None = Field(
        default=None,
        description="The host's public key ('ssh-ed25519 AAAA...') or its fingerprint ('SHA256:...'); nothing else is "
        "trusted then. Left out: known_hosts decides.",
    )
    ssh_config_host: Alias | None = Field(
        default=None, description="Alias to look up in ~/.ssh/config. Left out: the host's address is looked up."
    )
    known_hosts: File | None = Field(
        default=None,
        description="File of trusted host keys. Left out: ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts.",
    )
    host_key_policy: Literal["strict", "accept-new"] | None = Field(
        default=None,
        description="What to do with a host whose key is not known yet: refuse it ('strict', the default) or trust and "
        "remember the key ('accept-new'). A changed key is always refused.",
    )
    connect_timeout: Seconds | None = Field(
        default=None,
        description=f"Seconds from TCP connect to the end of authentication. Left out: {CONNECT_TIMEOUT:g}.",
    )
    idle_timeout: Seconds | None = Field(
        default=None, description=f"Seconds after which an unused connection is closed. Left out: {IDLE_TIMEOUT:g}."
    )
    tags: List[Name] | None = Field(default=None, description="Words to select hosts by, as tag:WORD.")
    slots: Slots | None = Field(
        default=None, description="How many jobs may run on a host at once. Left out: 4, or 1 below 256 MB of memory."
    )
    provider: Word | None = Field(
        default=None,
        description=f"Model provider as PicoClaw names it. Left out: {PROVIDER}. A host that names another provider "
        "than the defaults does not take over their api_key_env, model and api_base.",
    )
    api_key_env: SecretName | None = Field(
        default=None,
        description="Environment variable of the controller that holds the provider's API key. Left out: "
        f"{API_KEY_ENV} where the provider is {PROVIDER}, else none.",
    )
    model: Word | None = Field(
        default=None, description="Model id at the provider. Left out: the provider's usual one."
    )
    api_base: Url | None = Field(
        default=None, description="Address of the provider's API, for gateways and local models."
    )
    env: Env = Field(
        default={},
        description="Further environment variables for the worker; a host's are added to the defaults'. A value of the "
        'form "${NAME}" is taken from the controller\'s environment. Secrets may stand here in no other way.',
    )
    restrict_to_workspace: bool | None = Field(
        default=None,
        description="Whether PicoClaw's tools are confined to the job's workspace. Left out: PicoClaw's own default, "
        "true.",
    )


class Defaults(Settings):
    """The key `defaults`: settings for every host that does not have its own, and settings of the whole fleet."""

    release_repo: Repo | None = Field(
        default=None,
        description="GitHub repository (owner/name) that PicoClaw is installed from. Left out: EricGrill/picoclaw, or "
        "sipeed/picoclaw where that has no release for the host.",
    )
    version: Version = Field(
        default="latest", description="PicoClaw release to install: 'latest' or a tag such as v0.2.9."
    )
    github_api: Url = Field(
        default="https://api.github.com", description="Address of the GitHub API, for GitHub Enterprise and mirrors."
    )
    allow_unverified: bool = Field(
        default=False, description="Whether a release without any published checksum may be installed."
    )


class HostConfig(Settings):
    """One entry of `hosts`: where a machine is, and what differs there from the defaults."""

    name: HostName = Field(description="How the host is called in selectors, jobs and answers; unique in this file.")
    host: Address = Field(description="Host name or IP address, or an alias from ~/.ssh/config.")
    arch: Arch | None = Field(
        default=None,
        description="Processor: amd64, arm64, armv7, armv6, riscv64 (or what uname -m says). Left out: it is read from "
        "the host. Where the two disagree the host wins.",
    )

    def over(self, defaults: Defaults) -> Defaults:
        """The defaults with this host's own values put over them."""
        own = {key: value for key in Settings.model_fields if (value := getattr(self, key)) is not None}
        own["env"] = {**defaults.env, **self.env}
        # A key goes to the provider that it was meant for and to no other.
        other_provider = self.provider not in (None, defaults.provider or PROVIDER)
        inherited = dict.fromkeys(("api_key_env", "model", "api_base")) if other_provider else {}
        return defaults.model_copy(update={**inherited, **own})


class TokenConfig(BaseModel):
    """One entry of `http.tokens`: who may call over HTTP. `picoclaw-fleet token NAME` makes one."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    name: Name = Field(description="Who calls with it, in the audit log and as the owner of jobs; unique in this file.")
    sha256: Sha256 = Field(description="The SHA-256 of the token, in hexadecimal; the token itself stands nowhere.")
    scopes: NonEmpty[Scope] = Field(
        description="What it may do: read (look at hosts and at its own jobs), dispatch (give work too, to hosts that "
        "have PicoClaw, and cancel its own), admin (deploy and tear down too, and everyone's jobs). Each includes "
        "those before it.",
    )

    @property
    def scope(self) -> Scope:
        """The most that it may do."""
        return max(self.scopes, key=SCOPES.index)


class HttpConfig(BaseModel):
    """The key `http`: serving MCP over HTTP, which only `picoclaw-fleet serve --http` does."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    tokens: List[TokenConfig] = Field(
        default=(), description="Who may call. Left out: anyone on this machine, and the server binds to loopback only."
    )
    allowed_hosts: List[HttpHost] = Field(
        default=(),
        description="Names under which clients reach the server (the Host header), with a port or for any port. "
        "Loopback and the address that it is bound to are always allowed.",
    )
    allowed_origins: List[Origin] = Field(
        default=(),
        description="Web origins whose pages may call, such as https://fleet.lan. Left out: none but its own.",
    )
    max_body_kb: Annotated[int, Field(ge=1, le=1 << 20)] = Field(
        default=4096, description="The largest request in KB. Left out: 4096."
    )
    max_sessions: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=256, description="How many sessions (clients of 2025's protocol) may be open at once. Left out: 256."
    )
    max_requests: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=64, description="How many requests one token may have under way at once. Left out: 64."
    )
    audit: File | None = Field(
        default=None,
        description="File that tells who did what, a line of JSON for each call, never with the text of tasks. Left "
        "out: audit.jsonl in the state folder.",
    )


class FleetConfig(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    hosts: List[HostConfig] = Field(description="The machines, in order of preference where nothing else decides.")
    defaults: Defaults = Field(default=Defaults(), description="Settings for the hosts that don't have their own.")
    http: HttpConfig = Field(default=HttpConfig(), description="Settings for serving over HTTP.")
