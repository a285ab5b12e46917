"""Changes refs through a process of git that stays: to start one takes longer than a change."""

from __future__ import annotations

import os
import select
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from ...errors import ArchiveError
from .commands import COMMAND_DEADLINE_S, Commands
from .objects import end_process

STALE_LOCK_S = 10.0
_DONE = b"commit: ok\n"


class RefWriter:
    """Makes changes of refs with `git update-ref --stdin`, which ends over one that it refuses."""

    def __init__(self, git: Commands, deadline_s: float = COMMAND_DEADLINE_S) -> None:
        self._git = git
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def change(self, lines: Sequence[str]) -> None:
        """Makes all of some changes or none, each a line as `git update-ref --stdin` takes it.

        Raises:
            ArchiveError: with git's own words when it refuses one; when it has not ended in time.
        """
        script = "\n".join(["start", *lines, "prepare", "commit"]) + "\n"
        with self._lock:
            for used in (self._process is not None, False):
                if (said := self._refusal(script.encode("utf-8", "surrogateescape"))) is None:
                    return
                if not used:  # what another process did meanwhile may have ended one that was used
                    raise ArchiveError(
                        f"git update-ref failed: {said[:600]}",
                        where=str(self._git.path),
                        remedy="Look at the repository with plain git; git fsck says whether it is "
                        "whole.",
                    )

    def close(self) -> None:
        """Ends the process; the next change starts another."""
        with self._lock:
            self._end()

    def _refusal(self, script: bytes) -> str | None:
        """Why git did not make the changes, in its words; None where it made them."""
        process = self._process
        if process is None:
            process = self._git.start("update-ref", ["--stdin"], subprocess.PIPE)
            self._process = process
        assert process.stdin and process.stdout and process.stderr
        answered = False
        try:
            due = time.monotonic() + self._deadline_s
            _tell(process, script, due)
            answered = _done(process, due)
            return None if answered else _last_words(process)
        except BrokenPipeError:
            return _last_words(process)
        except TimeoutError:
            return f"it had not ended after {self._deadline_s:g} s and was stopped"
        finally:
            if not answered:
                self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            end_process(process)


def _tell(process: subprocess.Popen[bytes], script: bytes, due: float) -> None:
    """Writes the changes, in pieces that a pipe which takes any takes whole.

    Raises:
        TimeoutError: when git has not read them until it was due.
        BrokenPipeError: when it ended.
    """
    assert process.stdin is not None
    poll = select.poll()
    poll.register(process.stdin, select.POLLOUT)
    for start in range(0, len(script), select.PIPE_BUF):
        if not poll.poll(max(due - time.monotonic(), 0.0) * 1_000):
            raise TimeoutError
        os.write(process.stdin.fileno(), script[start : start + select.PIPE_BUF])


def _done(process: subprocess.Popen[bytes], due: float) -> bool:
    """Whether git says that it made the changes; False where it ended.

    Raises:
        TimeoutError: when it has said neither until it was due.
    """
    assert process.stdout is not None
    poll = select.poll()
    poll.register(process.stdout, select.POLLIN)
    said = b""
    while not said.endswith(_DONE):
        if not poll.poll(max(due - time.monotonic(), 0.0) * 1_000):
            raise TimeoutError
        if not (came := os.read(process.stdout.fileno(), 1 << 16)):
            return False
        said += came
    return True


def _last_words(process: subprocess.Popen[bytes]) -> str:
    """What a process that ends says why."""
    assert process.stderr is not None
    said = process.stderr.read(4_096).decode("utf-8", "replace").strip()
    return said or f"exit {process.wait()}"


def remove_stale_locks(repository: Path, refs: Iterable[str]) -> None:
    """Deletes lock files of killed writers, for which git would refuse the ref for ever."""
    for ref in refs:
        lock = repository / f"{ref}.lock"
        try:
            if time.time() - lock.stat().st_mtime > STALE_LOCK_S:
                lock.unlink()
            else:
                time.sleep(0.05)
        except FileNotFoundError:
            continue
