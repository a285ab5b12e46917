"""Hooks of the interpreter that candidate code left behind run no more once it has returned."""

from __future__ import annotations

import gc
import sys
from typing import Any

import pytest

from kernel_harness.tools.candidate.calls import torch_guards


@pytest.fixture(autouse=True)
def as_before():
    profile, trace = sys.getprofile(), sys.gettrace()
    yield
    gc.enable()
    sys.setprofile(profile)
    sys.settrace(trace)


@pytest.mark.parametrize("leave", [sys.setprofile, sys.settrace])
def test_profiling_and_tracing_end(leave):
    seen: list[str] = []
    leave(lambda frame, event, argument: seen.append(event))
    torch_guards.unhook()
    seen.clear()
    [len(word) for word in ("some", "calls")]
    assert seen == []


def test_garbage_waits_until_the_call_is_over():
    torch_guards.unhook()
    assert not torch_guards.collects()
    torch_guards.rehook(True)
    assert torch_guards.collects()


def test_a_candidate_that_collects_no_garbage_goes_on_collecting_none():
    gc.disable()
    torch_guards.unhook()
    torch_guards.rehook(False)
    assert not torch_guards.collects()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="Python has it since 3.12")
@pytest.mark.parametrize("given_back", [False, True])
def test_monitoring_ends(given_back):
    monitoring: Any = vars(sys)["monitoring"]
    seen: list[str] = []
    monitoring.use_tool_id(3, "a candidate")
    start = monitoring.events.PY_START
    monitoring.register_callback(3, start, lambda code, at: seen.append(code.co_name))
    monitoring.set_events(3, start)
    if given_back:
        monitoring.free_tool_id(3)
    torch_guards.unhook()
    seen.clear()
    (lambda: None)()
    assert seen == []
    if not given_back:
        monitoring.free_tool_id(3)
