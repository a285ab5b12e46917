"""Calls are traced in a candidate's process, as confined as any, and its traces are copied."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from kernel_harness.tools.errors import InfrastructureError
from kernel_harness.tools.judge.profiled import traced_calls
from kernel_harness.tools.judge.profiled.traced_calls import copy_bounded
from kernel_harness.tools.messages.judge import CallsTraced, SeededWorkload, TraceCalls
from kernel_harness.tools.messages.profiler import CALL_MARK

from ....judging import AFFINE, JudgeProcess, make_solution, read_definition, read_workloads

BY_VALUE = """
def run(x, w, table, alpha):
    y = x[table.long()] * w * alpha + 1.0
    return y, y.sum(dim=-1)
"""
WRONG = """
def run(x, w, table, alpha):
    raise ValueError("no such kernel")
"""


def traced(judge: JudgeProcess, source: str, folder: Path) -> CallsTraced:
    solution = make_solution(source, definition="affine_n64", style="value")
    request = TraceCalls(
        request_id="r",
        definition=read_definition(AFFINE).model_dump(mode="json"),
        operator_dir=str(AFFINE),
        solution=solution.model_dump(mode="json"),
        content_hash=solution.content_hash(),
        workloads=[SeededWorkload(workload=w, seed=5) for w in read_workloads(AFFINE)[1:3]],
        folder=str(folder),
    )
    judge.send(request)
    answer = judge.read()
    assert isinstance(answer, CallsTraced) and len(answer.calls) == 2
    return answer


@pytest.mark.process
def test_each_workload_has_a_trace_of_its_marked_call_and_the_hosts_times(judge, tmp_path):
    answer = traced(judge, BY_VALUE, tmp_path)
    assert [call.reason for call in answer.calls] == [None, None]
    assert "no_new_privs" in answer.granted
    for call in answer.calls:
        events = json.loads(Path(call.path or "").read_text())["traceEvents"]
        names = [event.get("name") for event in events]
        assert names.count(CALL_MARK) == 1 and "aten::sum" in names
        assert len(call.host_us) == 10 and min(call.host_us) > 0


@pytest.mark.process
def test_a_call_that_fails_has_its_fault_as_the_reason(judge, tmp_path):
    answer = traced(judge, WRONG, tmp_path)
    assert all("no such kernel" in (call.reason or "") for call in answer.calls)
    assert [call.path for call in answer.calls] == [None, None]


def test_a_trace_without_end_is_not_copied(tmp_path, monkeypatch):
    monkeypatch.setattr(traced_calls, "TRACE_BYTES", 10)
    (tmp_path / "long").write_bytes(b"x" * 11)
    fd = os.open(tmp_path / "long", os.O_RDONLY)
    try:
        with pytest.raises(InfrastructureError, match="longer than 10"):
            copy_bounded(fd, tmp_path / "copy")
    finally:
        os.close(fd)
