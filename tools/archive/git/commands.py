"""Processes of git on one repository, each under our configuration and bounded in time."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import ArchiveError
from ...settings import git_environment
from .configuration import NOBODY, UserConfiguration, access_file, our_environment, read_user
from .objects import end_process

COMMAND_DEADLINE_S = 120.0
"""Of a git command on this machine."""
TRANSFER_DEADLINE_S = 1_800.0
"""Of one that copies or rewrites a whole archive."""


class Commands:
    """Starts git on the repository at a path."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._user: UserConfiguration | None = None

    def run(
        self,
        command: str,
        *arguments: str,
        stdin: bytes | None = None,
        deadline_s: float = COMMAND_DEADLINE_S,
        variables: Mapping[str, str] | None = None,
    ) -> str:
        """Runs one git command under our configuration and returns its output.

        Args:
            variables: of the environment, beside those of `our_environment`.

        Raises:
            ArchiveError: with git's own words when it fails; when it has not ended in time.
        """
        with tempfile.TemporaryFile() as given:
            given.write(stdin or b"")
            given.seek(0)
            process = self.start(command, arguments, given, variables)
            try:
                out, complaint = process.communicate(timeout=deadline_s)
            except subprocess.TimeoutExpired as error:
                raise ArchiveError(
                    f"git {command} had not ended after {deadline_s:g} s and was stopped",
                    where=str(self.path),
                    remedy="Look whether the disk, or the other repository, answers at all; then "
                    "try again. Plain git waits as long as you like.",
                ) from error
            finally:
                end_process(process)
        if process.returncode:
            said = complaint.decode("utf-8", "replace").strip() or f"exit {process.returncode}"
            if variables:  # it spoke to another repository, which git names
                words = " ".join(said[:600].split()).rstrip(".")
                raise ArchiveError(
                    f"git {command} failed: {words}",
                    remedy="Look whether the other is a git repository, or a bundle, that you can "
                    "reach from here.",
                )
            raise ArchiveError(
                f"git {command} failed: {said[:600]}",
                where=str(self.path),
                remedy="Look at the repository with plain git; git fsck says whether it is whole.",
            )
        return out.decode("utf-8", "surrogateescape").removesuffix("\n")

    def reach(
        self,
        address: str,
        command: str,
        *arguments: str,
        stdin: bytes | None = None,
        deadline_s: float = COMMAND_DEADLINE_S,
    ) -> str:
        """Runs a git command that speaks to another repository; see `run`.

        What the user has set to reach it holds, e.g. a proxy or where passwords are kept.
        """
        user = self.user_configuration()
        pairs = user.owners if Path(address).exists() else (*user.owners, *user.access)
        with access_file(pairs) as file:
            variables = {"GIT_CONFIG_GLOBAL": file}
            return self.run(
                command, *arguments, stdin=stdin, deadline_s=deadline_s, variables=variables
            )

    def start(
        self,
        command: str,
        arguments: Sequence[str],
        stdin: Any,
        variables: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """A process of git, bound to this repository; its output is in pipes."""
        return self._started(our_environment() | dict(variables or {}), command, arguments, stdin)

    def _started(
        self, environment: Mapping[str, str], command: str, arguments: Sequence[str], stdin: Any
    ) -> subprocess.Popen[bytes]:
        bound = {
            "GIT_DIR": str(self.path),
            "GIT_OBJECT_DIRECTORY": str(self.path / "objects"),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
        }
        try:
            return subprocess.Popen(
                ["git", command, *arguments],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self.path,
                env={**environment, **bound},
            )
        except (OSError, ValueError) as error:
            raise ArchiveError(
                f"git {command} cannot be started: {error}",
                where=str(self.path),
                remedy="Install git ≥ 2.32, and look whether more processes may be started.",
            ) from error

    def user_configuration(self) -> UserConfiguration:
        """What is taken over from the user's configuration; nothing where git cannot read it."""
        if self._user is None:
            environment = git_environment(configuration=True)
            options = ("--list", "--null", "--includes")
            with self._started(environment, "config", options, subprocess.DEVNULL) as process:
                try:
                    listed, _ = process.communicate(timeout=COMMAND_DEADLINE_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    listed = b""
            known = process.returncode == 0
            self._user = read_user(listed.decode("utf-8", "surrogateescape")) if known else NOBODY
        return self._user
