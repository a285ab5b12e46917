"""Keys of the tests' own, never among the user's, and one judge for all tests that need one."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import is_hypothesis_test, settings

from .judging import JudgeProcess
from .warm_python import WarmPython

LONG_S = 900
"""Time for a long test that names none."""

MEMORY = Path("/dev/shm")
LEAST_MEMORY = 2 << 30
"""Free bytes below which tests' files are on the disk."""
IN_MEMORY = tuple(
    Path(__file__).parent / room
    for room in (
        "server",
        *(f"tools/{room}" for room in "agents archive batches cluster evaluation tuning".split()),
    )
)
"""Rooms with archives: the index of one is opened for each use, and waits for the disk each time.

Nothing is compiled there: a compiler's sandbox has an empty /dev/shm of its own.
"""

# Without deadlines: these tests also run on machines that others keep busy.
settings.register_profile("repeated", deadline=None, derandomize=True, max_examples=12)
settings.register_profile("random", deadline=None)


def pytest_configure(config) -> None:
    gc.disable()
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
    """Modules and tests live to the end: none was garbage, and none need be walked again."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than cores, for while others wait for a process, a client or the disk."""
    mine = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    return len(mine(0)) + 1


@pytest.fixture(scope="session")
def memory() -> Iterator[Path | None]:
    """A folder in memory, for files that would wait for a disk; none where there is no room."""
    if not os.access(MEMORY, os.W_OK) or shutil.disk_usage(MEMORY).free < LEAST_MEMORY:
        yield None
        return
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="kernel-harness-") as folder:
        yield Path(folder)


@pytest.fixture
def tmp_path(tmp_path: Path, memory: Path | None, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder of the test's own, in memory where its room's are."""
    if memory is None or not any(request.path.is_relative_to(room) for room in IN_MEMORY):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JudgeProcess]:
    """A judge without a GPU: it must survive every cheat and every fault that tests make."""
    process = JudgeProcess("cpu", tmp_path_factory.mktemp("judge-cache"))
    yield process
    process.close()


@pytest.fixture(scope="session")
def warm_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An interpreter for programs of torch's that tests run, which has imported it before."""
    if sys.platform != "linux":
        yield sys.executable
        return
    warm = WarmPython(tmp_path_factory.mktemp("warm"))
    yield str(warm.path)
    warm.close()
