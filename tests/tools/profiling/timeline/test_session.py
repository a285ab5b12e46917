"""Traces are kept: those of the judge, and those of runs outside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.messages.profiler import CALL_MARK
from kernel_harness.tools.profiling.runs.profile_store import ProfileStore
from kernel_harness.tools.profiling.runs.run_files import TracedWorkload
from kernel_harness.tools.profiling.runs.tool_run import ProfileRunner
from kernel_harness.tools.profiling.timeline.session import TimelineSession

from ..conftest import subject_of

pytestmark = [pytest.mark.anyio, pytest.mark.process]
COUNTED = """
print("loaded")


def run(x, factor, y):
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


def printed(session: TimelineSession) -> list[str]:
    assert isinstance(session.runner, Runner)
    return session.runner.printed


@pytest.mark.long  # test_tool_run.py has one call traced
async def test_a_call_is_traced_once_and_kept(session, workload):
    subject = subject_of(COUNTED)
    found = await session.trace(subject, workload)
    assert not isinstance(found, str) and found.timeline.uuid == workload.uuid
    again = await session.trace(subject, workload)
    assert again == found and len(printed(session)) == 1


def traced(tmp_path: Path, *events: dict[str, Any]) -> TracedWorkload:
    """A trace of the judge's: the marked call, and what is said to lie in it."""
    mark = {"ph": "X", "cat": "user_annotation", "name": CALL_MARK, "ts": 100.0, "dur": 50.0}
    file = tmp_path / "judged.json"
    file.write_text(json.dumps({"traceEvents": [mark, *events]}))
    return TracedWorkload("w-1", {"n": 4}, file, [12.0, 14.0, 13.0], ["net"], ["pid"])


async def test_what_the_judge_traced_is_kept_with_its_kernels(session, tmp_path):
    launch = {"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "ts": 110.0, "dur": 2.0}
    launch["args"] = {"correlation": 7}
    kernel = {"ph": "X", "cat": "kernel", "name": "add", "ts": 115.0, "dur": 5.0}
    kernel["args"] = {"correlation": 7, "stream": 3, "grid": [4, 1, 1], "block": [64, 1, 1]}
    subject = subject_of(COUNTED)
    await session.keep_traced(subject, traced(tmp_path, launch, kernel), 132, "9.0")
    kept = session.kept(subject, "w-1")
    assert kept is not None and kept.isolation is not None
    assert (kept.timeline.kernels, kept.timeline.host_us) == (1, 13.0)
    assert kept.kernels[0].sm_count == 132 and kept.isolation.missing == ["pid"]
    assert kept.timeline.trace_path and printed(session) == []


async def test_a_trace_without_the_devices_work_is_left_to_a_run_of_its_own(session, tmp_path):
    subject = subject_of(COUNTED)
    await session.keep_traced(subject, traced(tmp_path), 132, "9.0")
    broken = traced(tmp_path)
    broken.file.write_text("{")
    await session.keep_traced(subject, broken, 132, "9.0")
    assert session.kept(subject, "w-1") is None
