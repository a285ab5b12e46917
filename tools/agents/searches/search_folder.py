"""A search's files beside git: its lock, its rounds' folders, and the request to stop.

None of them is needed to go on: whatever must not be lost is in git.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ...errors import RequestError
from ...settings import Settings

SEARCHES_FOLDER = "searches"
WORK = "work"


def searches_dir(settings: Settings) -> Path:
    """Where searches keep their files."""
    return settings.data_dir / SEARCHES_FOLDER


@dataclass(frozen=True)
class RoundFolder:
    """The folders of one start of an agent.

    Attributes:
        path: holds the others, and what the agent must not reach.
        work: the agent's working folder and the round's workspaces.
        home: its home, made for it.
    """

    path: Path

    @property
    def work(self) -> Path:
        """The agent's working folder, which holds the workspaces of the round."""
        return self.path / WORK

    @property
    def home(self) -> Path:
        """The agent's home folder."""
        return self.path / "home"

    @property
    def temporary(self) -> Path:
        """Its folder for temporary files."""
        return self.path / "tmp"

    @property
    def specification(self) -> Path:
        """What the launcher is told."""
        return self.path / "command.json"

    def make(self) -> None:
        """Makes the folders of the start anew, each open to their owner alone."""
        shutil.rmtree(self.path, ignore_errors=True)
        for folder in (self.work, self.home, self.temporary):
            folder.mkdir(parents=True)
            folder.chmod(0o700)

    def renew_home(self) -> None:
        """Makes the agent's home anew: nothing that an earlier start left there is believed."""
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(mode=0o700)

    def forget_log_ins(self) -> None:
        """Removes the agent's home, with the copies of its user's log-ins in it."""
        shutil.rmtree(self.home, ignore_errors=True)


@dataclass(frozen=True)
class SearchFolder:
    """The folder of one search."""

    path: Path

    def round(self, number: int) -> RoundFolder:
        """The folders of a round."""
        return RoundFolder(self.path / f"round-{number:04d}")

    @property
    def page(self) -> Path:
        """The page on which the search is watched."""
        return self.path / "index.html"

    def ask_to_stop(self) -> None:
        """Asks the search's process to end."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "stop").touch()

    def stop_asked(self) -> bool:
        """Whether somebody asked the search to end."""
        return (self.path / "stop").exists()

    def is_running(self) -> bool:
        """Whether a process runs the search now."""
        try:
            with self.held():
                return False
        except RequestError:
            return True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the search against every other process, until the end of the block or of ours.

        Raises:
            RequestError: when another process runs it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RequestError(
                    "Another process runs this search",
                    where=str(self.path),
                    remedy="`kernel-harness optimize stop` ends it, `status` shows it.",
                ) from error
            yield
        finally:
            os.close(descriptor)

    def begin(self) -> None:
        """Forgets an earlier request to stop."""
        with contextlib.suppress(FileNotFoundError):
            (self.path / "stop").unlink()
