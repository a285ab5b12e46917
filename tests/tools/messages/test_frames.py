"""Frames carry every value that a message's model admits, unchanged."""

from __future__ import annotations

import json
import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from kernel_harness.tools.messages import candidate as wire
from kernel_harness.tools.messages.frames import decode, encode
from kernel_harness.tools.messages.judge import PlannedWorkload
from kernel_harness.tools.messages.profiler import SCALARS
from kernel_harness.tools.schema.flashinfer_trace import Workload

NUMBERS = st.booleans() | st.integers(-(2**63), 2**64) | st.floats()


def same(a: Any, b: Any) -> bool:
    """Whether two scalars are one value of one type; every NaN is the same."""
    if isinstance(a, float) and isinstance(b, float) and math.isnan(a):
        return math.isnan(b)
    return type(a) is type(b) and a == b and math.copysign(1, a) == math.copysign(1, b)


def plain(body: bytes) -> Any:
    """The frame's JSON, read by the standard: no bare NaN or Infinity in it."""

    def refuse(word: str) -> None:
        raise ValueError(word)

    return json.loads(body, parse_constant=refuse)


@given(NUMBERS)
def test_a_scalar_crosses_the_candidates_pipe_unchanged(value: bool | int | float) -> None:
    body = encode(wire.ScalarValue(value=value))[4:]
    assert plain(body)
    assert same(decode(TypeAdapter(wire.ScalarValue), body).value, value)


@given(NUMBERS)
def test_a_workloads_scalar_reaches_the_judge_unchanged(value: bool | int | float) -> None:
    scalar = {"type": "scalar", "value": value}
    workload = Workload.model_validate({"uuid": "w", "axes": {}, "inputs": {"cap": scalar}})
    sent = PlannedWorkload(uuid="w", workload=workload.model_dump(mode="json"))
    body = encode(sent)[4:]
    assert plain(body)
    got = Workload.model_validate(decode(TypeAdapter(PlannedWorkload), body).workload)
    assert same(got.inputs["cap"].value, value)  # type: ignore[union-attr]


@given(st.dictionaries(st.text(), NUMBERS))
def test_scalars_of_a_profiled_run_are_read_as_written(scalars: dict[str, Any]) -> None:
    written = SCALARS.dump_json(scalars)
    assert plain(written) is not None
    read = SCALARS.validate_json(written)
    assert read.keys() == scalars.keys()
    assert all(same(read[name], value) for name, value in scalars.items())
