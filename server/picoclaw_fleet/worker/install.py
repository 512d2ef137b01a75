"""Putting PicoClaw on one host, or finding that it is there already. install.sh does the work over there."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field

from picoclaw_fleet.config.inventory import Host
from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.transport import LocalFile, Pool, upload
from picoclaw_fleet.worker.answer import complaint
from picoclaw_fleet.worker.contract import fleet_folder
from picoclaw_fleet.worker.host_lock import PATIENCE_SECONDS, HostLock, lock_lost
from picoclaw_fleet.worker.manifest import Manifest
from picoclaw_fleet.worker.model_access import ModelAccess
from picoclaw_fleet.worker.picoclaw_config import Scope, Settings, settings_for
from picoclaw_fleet.worker.probe import version_in
from picoclaw_fleet.worker.script import INSTALL, Said, run_script

MARGIN_KB = 8 << 10
"""What has to stay free beside the binary, for settings, workspaces and jobs."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]")

OnStep = Callable[[str, int, int], None]
"""Told the step, and for the upload the bytes so far and in all."""


@dataclass(frozen=True, slots=True)
class Program:
    """A PicoClaw binary to be installed.

    Attributes:
        file: Its content.
        digest: Its SHA-256 in lower-case hexadecimal.
        version: The release's version; "" where the binary has to be asked.
        source: The repository that it came from, or "local".
    """

    file: LocalFile
    digest: str
    version: str
    source: str

    @property
    def folder(self) -> str:
        """The folder for it, below versions."""
        return _UNSAFE.sub("-", self.version) or f"local-{self.digest[:12]}"


@dataclass(frozen=True, slots=True)
class Installed:
    """How a deploy on one host ended well.

    Attributes:
        outcome: installed, upgraded or unchanged.
        version: What is installed now.
        kept: What was left alone, and why.
    """

    outcome: str
    version: str
    kept: list[str] = field(default_factory=list[str])


class OwnersSettingsError(HostError):
    """This version has to do with the owner's settings, and does not; that is nothing against the release."""


class Installation:
    """One deploy on one host.

    Args:
        pool: The connections.
        host: Where.
        name: The host's own name, as the probe read it.
        program: What to install.
        access: The model and the key.
        on_step: Is told how far it is.
        room: Held while bytes go out, so that not all hosts are sent to at once.
        patience: Seconds to wait for another controller.
    """

    def __init__(
        self,
        pool: Pool,
        host: Host,
        name: str,
        program: Program,
        access: ModelAccess,
        *,
        on_step: OnStep,
        room: AbstractAsyncContextManager[object],
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self._pool = pool
        self._host = host
        self._name = name
        self._program = program
        self._access = access
        self._on_step = on_step
        self._room = room
        self._lock = HostLock(pool, host, name, patience=patience)

    async def run(self) -> Installed:
        """Installs, unless all is there as it should be.

        Raises:
            HostError: It could not be done; what worked before still does.
        """
        self._step("survey")
        survey = await self._script("survey")
        manifest = Manifest.from_lines(survey.all("manifest"))
        if manifest.digest == self._program.digest and manifest.in_use:
            self._step("check")
            if unchanged := await self._check(manifest, survey):
                return unchanged
        return await self._install(survey)

    async def _check(self, manifest: Manifest, survey: Said) -> Installed | None:
        settings = self._settings(manifest.says, survey)
        words = [manifest.in_use, *self._binary_words(), *_settings_words(settings)]
        said = await self._script("check", *words, stdin=f"{settings.digest}\n".encode())
        if said.failure:
            return None
        if said.all("leftovers"):
            await self._lock.take(INSTALL, "sweep", on_wait=self._wait)
        return Installed("unchanged", manifest.version, kept=said.kept())

    async def _install(self, survey: Said) -> Installed:
        self._step("lock")
        begun = await self._lock.take(INSTALL, "begin", self._program.folder, *self._binary_words(), on_wait=self._wait)
        self._raise_failure(begun)
        folder, has = begun.first("folder").split()
        try:
            async with self._lock.renewed():
                if has == "need":
                    self._check_space(begun)
                says = await self._send(
                    f"{survey.first('home')}/{fleet_folder(self._name)}/versions/{folder}", folder, has
                )
                return await self._settle(folder, says, survey)
        except HostError as error:
            if error.reason is not Reason.LOST_CONTACT:
                with suppress(HostError):
                    await self._script("abandon", folder)
            raise

    async def _send(self, path: str, folder: str, has: str) -> str:
        """Uploads the binary and has it run there under a temporary name.

        Returns:
            What it says that it is.
        """
        if has == "need":
            total = self._program.file.size
            self._step("upload", 0, total)
            async with self._room:
                await upload(
                    self._pool,
                    self._host,
                    self._program.file,
                    f"{path}/.picoclaw.new",
                    lambda sent: self._step("upload", sent, total),
                )
        self._step("verify")
        said = await self._script("verify", folder, *self._binary_words())
        if said.failure and said.failure[0] == "differs":
            raise HostError(
                f"PicoClaw did not arrive there as it was sent ({' '.join(said.failure[1:])}, or another digest).",
                host=self._host.name,
                reason=Reason.CHECKSUM_MISMATCH,
                retryable=True,
                next_step="Deploy again; if it stays, look at the host's disk.",
            )
        self._raise_failure(said)
        version = version_in("\n".join(said.others))
        if not version:
            raise self._not_ready("The binary does not run there", said)
        return version

    async def _settle(self, folder: str, says: str, survey: Said) -> Installed:
        settings = self._settings(says, survey)
        version = self._program.version or says
        words = [folder, *self._binary_words(), *_settings_words(settings), version, self._program.source, says]
        said = await self._script("install", *words, stdin=_settings_stdin(settings), on_said=self._tell)
        if said.failure and said.failure[0] == "not_ready":
            if settings.scope is Scope.OWNER:
                raise self._owners_settings_fail(says, said)
            raise self._not_ready(f"PicoClaw {says} is not ready with its settings", said)
        self._raise_failure(said)
        return Installed("upgraded" if survey.first("current") else "installed", version, said.kept())

    def _settings(self, says: str, survey: Said) -> Settings:
        return settings_for(says, self._access, has_owner="config" in survey.all("owner"))

    def _binary_words(self) -> tuple[str, str]:
        return self._program.digest, str(self._program.file.size)

    async def _script(
        self, *words: str, stdin: bytes = b"", on_said: Callable[[list[str]], None] | None = None
    ) -> Said:
        return await run_script(
            self._pool,
            self._host,
            INSTALL,
            self._lock.words(*words),
            stdin=stdin,
            on_said=on_said,
            secrets=(self._access.key,),
        )

    def _step(self, step: str, done: int = 0, total: int = 0) -> None:
        self._on_step(step, done, total)

    def _wait(self, holder: str) -> None:
        self._step(f"waiting for {holder}")

    def _tell(self, words: list[str]) -> None:
        if words[0] == "step":
            self._step(words[1])

    def _check_space(self, begun: Said) -> None:
        free = begun.first("space")
        needed = (self._program.file.size >> 10) + MARGIN_KB
        if free.isdigit() and int(free) < needed:
            raise HostError(
                f"its home has {int(free) >> 10} MB free, and PicoClaw needs {needed >> 10} MB.",
                host=self._host.name,
                reason=Reason.DISK_FULL,
                next_step="Free some space there.",
            )

    def _raise_failure(self, said: Said) -> None:
        if said.failure is None:
            return
        reason, *words = said.failure
        if reason == "locked":
            raise lock_lost(self._host)
        known = reason in (Reason.DISK_FULL, Reason.HOME_NOT_WRITABLE, Reason.LOST_CONTACT)
        raise HostError(
            f"{' '.join(words) or reason}.",
            host=self._host.name,
            reason=Reason(reason) if known else Reason.PROTOCOL_ERROR,
            retryable=reason == Reason.LOST_CONTACT,
            next_step="Check free space, owner and mode of ~/.picoclaw there.",
        )

    def _not_ready(self, what: str, said: Said) -> HostError:
        return HostError(
            f"{what}; {_what_remains(said)}",
            host=self._host.name,
            reason=Reason.NOT_READY,
            next_step="Check provider, model, key and api_base in the fleet config, or choose another version.",
        )

    def _owners_settings_fail(self, says: str, said: Said) -> OwnersSettingsError:
        return OwnersSettingsError(
            f"PicoClaw {says} reads ~/.picoclaw/config.json alone, which is the owner's, and is not ready with it; "
            + _what_remains(said),
            host=self._host.name,
            reason=Reason.NOT_READY,
            next_step="Mend that file there, or deploy a version from 0.2.1 on: it gets settings of its own.",
        )


def _what_remains(said: Said) -> str:
    words = " ".join(complaint("\n".join(said.others)).split())[-300:]
    return "what was there before still is. " + (f"It says: {words.rstrip('.')}." if words else "It says nothing.")


def _settings_words(settings: Settings) -> tuple[str, str]:
    return "|".join(settings.variables), settings.scope.value


def _settings_stdin(settings: Settings) -> bytes:
    """The digest goes the way of the key, of which it is made: the host's users can see command lines."""
    return f"{settings.digest}\n".encode() + settings.as_stdin()
