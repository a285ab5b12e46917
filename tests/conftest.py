"""Keys of the tests' own, never among the user's, and one judge for all tests that need one."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import is_hypothesis_test, settings

from .judging import JudgeProcess

LONG_S = 900
"""Time for a long test that names none."""

# Without deadlines: these tests also run on machines that others keep busy.
settings.register_profile("repeated", deadline=None, derandomize=True, max_examples=30)
settings.register_profile("random", deadline=None)


def pytest_configure(config) -> None:
    folder = tempfile.mkdtemp(prefix="kernel-harness-keys-")
    os.environ["XDG_CONFIG_HOME"] = folder  # noqa: TID251
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fuzzes are marked; what takes minutes may take minutes, on a busy machine most of all."""
    for item in items:
        if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
            item.add_marker(pytest.mark.fuzz)
        if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG_S))


def pytest_collection_finish() -> None:
    """Modules and tests live to the end: no collection of garbage need walk them again."""
    gc.freeze()


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JudgeProcess]:
    """A judge without a GPU: it must survive every cheat and every fault that tests make."""
    process = JudgeProcess("cpu", tmp_path_factory.mktemp("judge-cache"))
    yield process
    process.close()
