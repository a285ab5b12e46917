"""A user's program as a server runs it: it reads none of the server's input, and can be cancelled.

Messages of a client come by the server's input, and a program that read them would end the server.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import anyio

from ..errors import RequestError
from .program import FAILED, command_of, not_started

MOST_WORDS = 1_000
"""Characters of what a failed program wrote that are told."""


async def run_in_group(
    words: Sequence[str], runner: str, arguments: Sequence[str], folder: Path
) -> None:
    """Runs one of our modules in the interpreter of a user's program; its group ends with the call.

    Args:
        words: of the program: an interpreter of Python's, and a file or `-m` and a module.
        runner: the module, by its whole name.
        folder: in which it is run.

    Raises:
        RequestError: when no program of Python's is named, or it fails, with what it wrote last.
    """
    command = command_of(words, runner, arguments)
    with tempfile.TemporaryFile() as said:
        try:
            process = await anyio.open_process(
                command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                cwd=folder,
                start_new_session=True,
            )
        except OSError as error:
            raise not_started(words, error) from error
        try:
            status = await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with anyio.CancelScope(shield=True):
                await process.wait()
        said.seek(max(said.seek(0, os.SEEK_END) - MOST_WORDS, 0))
        last = said.read().decode("utf-8", "replace").strip()
    if status == FAILED:
        raise RequestError(f"It came to nothing: {last}")
    if status:
        remedy = "Run it by itself: a program that ends well there does here."
        if "No module named" in last and "kernel_harness" in last:
            remedy = f"Install kernel-harness for that Python, as it is for {sys.executable}."
        raise RequestError(
            f"The program ended with status {status}. Its last words: {last}", remedy=remedy
        )
