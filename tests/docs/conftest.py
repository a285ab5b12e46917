"""A command line that stands ready for the readers of all pages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import standing


@pytest.fixture(scope="session")
def command_line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a `kernel-harness` that answers soon; see `standing`."""
    folder = tmp_path_factory.mktemp("programs")
    address = folder / "s"
    standing.write_program(folder, address)
    command = [sys.executable, standing.__file__ or "", str(address)]
    ready = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder, text=True
    )
    assert ready.stdin and ready.stdout
    assert ready.stdout.readline() == "ready\n"
    yield folder
    ready.stdin.close()
    ready.wait(timeout=30)
