"""Keys of the tests' own, never among the user's, and one judge for all tests that need one."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import is_hypothesis_test, settings

from kernel_harness.tools.workloads import operators

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

STARTED = ({"judge"}, {"interpreting", "compiling"}, {"warm_python", "command_line"})
"""Fixtures whose processes import much, once for all tests of a worker; the last share has all
other tests that start processes, too."""

# Without deadlines: these tests also run on machines that others keep busy.
settings.register_profile("repeated", deadline=None, derandomize=True, max_examples=12)
settings.register_profile("random", deadline=None)


def pytest_configure(config) -> None:
    gc.disable()
    folder = tempfile.mkdtemp(prefix="kernel-harness-keys-")
    os.environ["XDG_CONFIG_HOME"] = folder  # noqa: TID251
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Iterator[None]:
    """Fuzzes are marked; what takes minutes may take minutes, on a busy machine most of all."""
    for item in items:
        if isinstance(item, pytest.Function) and is_hypothesis_test(item.obj):
            item.add_marker(pytest.mark.fuzz)
        if item.get_closest_marker("long") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONG_S))
    yield
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    items[:] = shared_out(items, workers)


def shared_out(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """The tests in the order in which each worker gets a share that is as long, and no more.

    What uses the same process for a whole run is at the beginning of one share, so that one worker
    starts it; at the end of each are those that use none, which are what others steal.
    """
    heads: list[list[pytest.Item]] = [[] for _ in range(workers)]
    rest: list[pytest.Item] = []
    for item in items:
        names = set(getattr(item, "fixturenames", ()))
        used = [number for number, group in enumerate(STARTED) if names & group]
        if used or item.get_closest_marker("process"):
            heads[(used[0] if used else len(STARTED) - 1) % workers].append(item)
        else:
            rest.append(item)
    ordered: list[pytest.Item] = []
    for number, head in enumerate(heads):
        share = (len(items) - len(ordered)) // (workers - number)
        light = max(share - len(head), 0)
        ordered += [*head, *rest[:light]]
        del rest[:light]
    return [*ordered, *rest]


def pytest_collection_finish() -> None:
    """Modules and tests live to the end: none was garbage, and none need be walked again."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than cores, for while others wait for a process, a client or the disk."""
    mine = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))
    return len(mine(0)) + 1


@pytest.fixture(scope="session", autouse=True)
def counted_in_threads() -> Iterator[None]:
    """No event loop waits for an operator's code, which may take long: not in any test."""
    counted = operators.counted_costs

    def counted_in_a_thread(*given: Any) -> list[Any]:
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop()
            pytest.fail("the work of an operator is counted on an event loop")
        return counted(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operators, "counted_costs", counted_in_a_thread)
        yield


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
