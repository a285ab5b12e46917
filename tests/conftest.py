"""Keys of the tests' own, never among the user's, and one judge for all tests that need one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from .judging import JudgeProcess


def pytest_configure(config) -> None:
    folder = tempfile.mkdtemp(prefix="kernel-harness-keys-")
    os.environ["XDG_CONFIG_HOME"] = folder  # noqa: TID251
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JudgeProcess]:
    """A judge without a GPU: it must survive every cheat and every fault that tests make."""
    process = JudgeProcess("cpu", tmp_path_factory.mktemp("judge-cache"))
    yield process
    process.close()
