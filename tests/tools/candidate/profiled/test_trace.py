"""A trace holds the marked call, and costs no more imports than torch itself."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from kernel_harness.tools.candidate.profiled.call_trace import host_times, write_trace
from kernel_harness.tools.messages.profiler import CALL_MARK

ALONE = """
import sys
from kernel_harness.tools.candidate.profiled.call_trace import write_trace
write_trace(lambda: None, lambda: None, sys.argv[1], on_device=False)
print([name for name in ("torch._dynamo", "torch._inductor") if name in sys.modules])
"""


def nothing() -> None:
    pass


def add_up() -> None:
    torch.ones(8).cumsum(0)


def test_the_marked_call_is_in_the_trace_with_what_it_did(tmp_path):
    path = tmp_path / "trace.json"
    write_trace(add_up, nothing, str(path), on_device=False)
    events = json.loads(path.read_text())["traceEvents"]
    (mark,) = [e for e in events if e.get("name") == CALL_MARK and e.get("ph") == "X"]
    inside = [
        e
        for e in events
        if e.get("name") == "aten::cumsum" and mark["ts"] <= e["ts"] <= mark["ts"] + mark["dur"]
    ]
    assert len(inside) == 1
    assert len([e for e in events if e.get("name") == "aten::cumsum"]) == 2


@pytest.mark.process
def test_tracing_does_not_load_torchs_compiler(tmp_path):
    command = [sys.executable, "-c", ALONE, str(tmp_path / "trace.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.strip().splitlines()[-1] == "[]", done.stderr[-2000:]


def test_a_call_is_waited_for_before_the_next_one_begins():
    done: list[str] = []
    found = host_times(lambda: done.append("call"), lambda: done.append("wait"), 3)
    assert done == ["call", "wait"] * 3
    assert len(found.host_us) == len(found.finished_us) == 3
    assert all(a <= b for a, b in zip(found.host_us, found.finished_us, strict=True))
