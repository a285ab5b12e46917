"""The case that a call is looked into on: a workload, or sizes of the caller's own."""

from __future__ import annotations

import pytest

from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.messages.judge import CallInspected
from kernel_harness.tools.profiling.inspection import InspectedCall, case_of
from kernel_harness.tools.schema.flashinfer_trace import Definition, Workload
from kernel_harness.tools.workloads.operators import Operator


@pytest.fixture
def operator() -> Operator:
    definition = Definition.model_validate(
        {
            "name": "double",
            "op_type": "test",
            "axes": {
                "m": {"type": "var"},
                "n": {"type": "var"},
                "k": {"type": "const", "value": 4},
            },
            "inputs": {"x": {"shape": ["m", "n"], "dtype": "float32"}},
            "outputs": {"y": {"shape": ["m", "n"], "dtype": "float32"}},
            "constraints": ["n >= m"],
            "reference": "def run(x):\n    return x * 2\n",
        }
    )
    sizes = ((64, 64), (1, 8), (8, 512))
    workloads = tuple(
        Workload.model_validate(
            {"uuid": f"w{m}", "axes": {"m": m, "n": n}, "inputs": {"x": {"type": "random"}}}
        )
        for m, n in sizes
    )
    return Operator(definition=definition, workloads=workloads)


def test_without_a_name_it_is_the_smallest_workload(operator):
    assert case_of(operator, None, None).uuid == "w1"
    assert case_of(operator, "w64", None).uuid == "w64"


def test_sizes_that_a_workload_has_are_that_workload(operator):
    found = case_of(operator, None, {"m": 8})
    assert found.uuid == "w8" and not InspectedCall(found, CallInspected(request_id="r")).own_sizes


def test_sizes_of_ones_own_change_the_nearest_workload(operator):
    found = case_of(operator, None, {"m": 7})
    assert found.axes == {"m": 7, "n": 512}
    assert InspectedCall(found, CallInspected(request_id="r")).own_sizes
    assert case_of(operator, "w1", {"n": 3}).axes == {"m": 1, "n": 3}


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ({"k": 8}, "varying axis"),
        ({"batch": 8}, "varying axis"),
        ({"m": -1}, "none"),
        ({"m": 1 << 40}, "none"),
        ({"m": 9, "n": 8}, "n >= m"),
    ],
)
def test_sizes_that_are_none_of_the_operators_are_refused(operator, axes, words):
    with pytest.raises(RequestError, match=words):
        case_of(operator, None, axes)


def test_stored_inputs_have_only_their_own_sizes(operator):
    stored = {"x": {"type": "safetensors", "path": "x.safetensors", "tensor_key": "x"}}
    workload = Workload.model_validate({"uuid": "w2", "axes": {"m": 2, "n": 2}, "inputs": stored})
    of_files = Operator(definition=operator.definition, workloads=(workload,))
    with pytest.raises(RequestError, match="are stored"):
        case_of(of_files, None, {"m": 1})
