"""Traces of several workloads are taken in one process, and each is found by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.profiling.runs.profile_store import ProfileStore
from kernel_harness.tools.profiling.runs.run_files import WorkloadInputs
from kernel_harness.tools.profiling.runs.tool_run import ProfileRunner
from kernel_harness.tools.profiling.timeline.session import TimelineSession

from ..conftest import subject_of, write_inputs

pytestmark = [pytest.mark.anyio, pytest.mark.process]
COUNTED = """
print("loaded")


def run(x, factor, y):
    y.copy_(x * factor)
"""
WRONG_AFTER = """
calls = []


def run(x, factor, y):
    calls.append(1)
    if len(calls) > 16:
        raise ValueError("enough")
    y.copy_(x * factor)
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Runner(ProfileRunner):
    """Counts the processes that it starts, and keeps what they print."""

    printed: list[str]

    async def execute(self, *arguments: Any, **options: Any):
        done = await super().execute(*arguments, **options)
        self.printed.append(done.output)
        return done


@pytest.fixture
def session(tmp_path: Path) -> TimelineSession:
    runner = Runner("cpu")
    runner.printed = []
    return TimelineSession(runner, ProfileStore(tmp_path / "profiles", "cpu"), 100)


@pytest.fixture
def both(workload: WorkloadInputs, tmp_path: Path) -> list[WorkloadInputs]:
    path = tmp_path / "two.safetensors"
    write_inputs(path, [1.0, 2.0], 2.0)
    return [workload, WorkloadInputs("w-2", {"n": 2}, path)]


def printed(session: TimelineSession) -> list[str]:
    assert isinstance(session.runner, Runner)
    return session.runner.printed


async def test_one_process_builds_once_and_traces_each_workload(session, both):
    subject = subject_of(COUNTED)
    await session.trace_together(subject, both)
    for one in both:
        found = await session.trace(subject, one)
        assert not isinstance(found, str) and found.timeline.uuid == one.uuid
    (words,) = printed(session)
    assert words.count("loaded") == 1


async def test_a_single_workload_is_left_to_its_own_run(session, workload):
    await session.trace_together(subject_of(COUNTED), [workload])
    assert printed(session) == []


async def test_a_workload_that_fails_is_traced_again_by_itself(session, both):
    subject = subject_of(WRONG_AFTER)
    await session.trace_together(subject, both)
    assert not isinstance(await session.trace(subject, both[0]), str)
    assert len(printed(session)) == 1
    assert not isinstance(await session.trace(subject, both[1]), str), "alone it makes few calls"
    assert len(printed(session)) == 2
