"""A call is traced by a profiler that shares the device's activities with nobody."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

import torch

from kernel_harness.tools.candidate.calls.caller import Caller
from kernel_harness.tools.candidate.process.traced import trace
from kernel_harness.tools.messages.candidate import TraceRequest
from kernel_harness.tools.messages.frames import Message


class NotedCaller:
    """Plays a caller, and notes in which order it is used."""

    source_dir = Path("/nowhere")

    def __init__(self) -> None:
        self.noted: list[str] = []

    def bound(self, arguments: Any, outputs: Any) -> tuple[Any, list[Any]]:
        return self._call, []

    def end_recording(self) -> None:
        self.noted.append("ended")

    def _call(self) -> None:
        self.noted.append("called")
        torch.ones(4).cumsum(0)


def traced(caller: NotedCaller, folder: Path) -> tuple[Message, list[int]]:
    request = TraceRequest(arguments=[], outputs=[])
    return trace(cast("Caller", caller), request, folder)


def test_the_harness_has_ended_its_own_recording_before_the_first_call(tmp_path):
    caller = NotedCaller()
    _, (fd,) = traced(caller, tmp_path)
    with os.fdopen(fd) as file:
        names = [event.get("name") for event in json.load(file)["traceEvents"]]
    assert names.count("aten::cumsum") == 2
    assert caller.noted[0] == "ended" and caller.noted.count("ended") == 1
