"""A candidate that is a Python function in this process, for what is not about processes.

It maps the very arena that a real one would, answers as the wire asks, and claims of its time what
it is told to claim.
"""

from __future__ import annotations

import mmap
import os
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from kernel_harness.tools.judge.calls.judged_call import JudgedCall
from kernel_harness.tools.judge.operators.generic_operator import TORCH_DTYPES
from kernel_harness.tools.judge.operators.input_sets import (
    InputGenerator,
    InputSet,
    PrefetchedInputs,
    SeedBook,
)
from kernel_harness.tools.judge.operators.operator_adapter import Case, OperatorAdapter
from kernel_harness.tools.judge.processes.lost import ProcessLost
from kernel_harness.tools.messages import candidate as wire
from kernel_harness.tools.messages.launches import Activity

from ...judging import AFFINE, read_definition

CPU = torch.device("cpu")
CASE = Case("affine-17", {"m": 17}, scalars={"alpha": 0.5})
Compute = Callable[..., tuple[torch.Tensor, ...]]


class ScriptedSession:
    """Implements CandidateSession.

    Args:
        compute: inputs to outputs, by value.
        spans_ns: the span to claim of each timed call, the last one for ever; None: no timer.
        lost_at: number of the call at which it is lost, and how.
    """

    granted: Sequence[str] = ()
    missing: Sequence[str] = ()

    def __init__(
        self,
        compute: Compute,
        spans_ns: Sequence[int] | None = (1_000,),
        lost_at: tuple[int, ProcessLost] | None = None,
        journal: list[tuple[str, str]] | None = None,
        name: str = "candidate",
        host_extra_ns: int = 0,
    ) -> None:
        self._compute = compute
        self._spans = list(spans_ns) if spans_ns is not None else None
        self._lost_at = lost_at
        self._journal = journal if journal is not None else []
        self._name = name
        self._host_extra_ns = host_extra_ns
        self._flat = torch.empty(0, dtype=torch.uint8)
        self._answer: Any = None
        self._deferred: list[wire.DeferredTimes] = []
        self.requests: list[wire.CallRequest] = []
        self.closed = False
        self.collects = 0
        self.kernels: list[str] = []
        """Names of the kernels that it says it launched."""

    def ask(self, message: Any, fds: Sequence[int] = ()) -> None:
        if isinstance(message, wire.MapArena):
            mapped = mmap.mmap(os.dup(fds[0]), message.nbytes)
            self._flat = torch.frombuffer(mapped, dtype=torch.uint8)
            self._answer = wire.Mapped()
        elif isinstance(message, wire.BuildRequest):
            self._answer = wire.Built()
        elif isinstance(message, wire.Collect):
            self.collects += 1
            self._answer = wire.Collected(times=self.deferred(self._deferred), kernels=self.kernels)
            self._deferred = []
        else:
            self._answer = self._call(message)

    def answer(self, kind: Any, timeout_s: float) -> Any:
        assert isinstance(self._answer, (kind, ProcessLost))
        return self._answer

    def spoke(self) -> bool:
        return True

    def recorded(self, timeout_s: float) -> Any:
        return wire.Recorded(reason="a script launches nothing"), []

    def deferred(self, times: list[wire.DeferredTimes]) -> list[wire.DeferredTimes]:
        """What it says of the calls whose times were deferred."""
        return times

    def log(self) -> str:
        return "a scripted log"

    def close(self) -> None:
        self.closed = True

    def _call(self, request: wire.CallRequest) -> wire.Called | ProcessLost:
        self.requests.append(request)
        self._journal.append((self._name, request.time))
        if self._lost_at is not None and len(self.requests) == self._lost_at[0]:
            return self._lost_at[1]
        arguments = [
            self._view(a).clone() if isinstance(a, wire.TensorRef) else a.value
            for a in request.arguments
        ]
        produced = self._compute(*arguments)
        for refs in (request.outputs, request.snapshots, request.late):
            for value, ref in zip(produced, refs, strict=bool(refs)):
                self._view(ref).copy_(value)
        span = None
        if request.time != "none" and self._spans is not None:
            span = self._spans.pop(0) if len(self._spans) > 1 else self._spans[0]
        timer = "cupti" if span is not None else None
        activity = Activity(name="k", start_ns=0, end_ns=span or 0, origin="candidate")
        time.sleep(self._host_extra_ns / 1e9)
        host = None if span is None else span + self._host_extra_ns
        times: dict[str, Any] = {"timer": timer, "span_ns": span, "host_ns": host}
        times["activities"] = [activity]
        if request.defer is None:
            return wire.Called(**times)
        self._deferred.append(wire.DeferredTimes(number=request.defer, **times))
        return wire.Called()

    def _view(self, ref: wire.TensorRef) -> torch.Tensor:
        dtype = TORCH_DTYPES[ref.dtype]
        count = dtype.itemsize
        for size in ref.shape:
            count *= size
        if count == 0:
            return torch.empty(ref.shape, dtype=dtype)
        return self._flat[ref.offset : ref.offset + count].view(dtype).view(ref.shape)


def honest(x, w, table, alpha):
    """The affine operator's outputs."""
    y = x[table.long()] * w * alpha + 1.0
    return y, y.sum(dim=-1)


def affine() -> OperatorAdapter:
    """The affine operator with its folder."""
    return OperatorAdapter(read_definition(AFFINE), AFFINE)


def judged_call(
    session: ScriptedSession, seed: int = 1, *, by_destination: bool = True
) -> JudgedCall:
    """A call of the affine operator whose arena is mapped."""
    definition = read_definition(AFFINE)
    made = JudgedCall(session, definition, CPU, random.Random(seed), by_destination=by_destination)
    assert made.map([CASE]) is None
    return made


def input_set(case: Case = CASE) -> InputSet:
    """New typical inputs of the affine operator, with what is expected of them."""
    return InputGenerator(affine(), CPU, SeedBook(), PrefetchedInputs(1 << 20)).generate(case)
