"""Integers that point into other inputs, as the definitions of FlashInfer-Trace have them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from kernel_harness.tools.judge.operators.operator_adapter import OperatorAdapter
from kernel_harness.tools.judge.philox.generator import TorchGenerator
from kernel_harness.tools.judge.philox.index_inputs import index_values
from kernel_harness.tools.messages.judge import Checks
from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.schema.flashinfer_trace import Definition, Workload

from ....judging import make_plan, make_solution

AXES = {"batch": 5, "len_indptr": 6, "total_q": 9, "num_kv_indices": 40, "num_pages": 64}
AXES |= {"page_size": 16, "max_num_pages": 4, "num_experts": 8}


def drawn(name: str, shape: list[str], dtype: str = "int32", *constraints: str, **axes: int):
    sizes = {**AXES, **axes}
    definition = Definition.model_validate(
        {
            "name": "pointing",
            "op_type": "demo",
            "axes": {axis: {"type": "var"} for axis in sizes},
            "inputs": {name: {"shape": shape, "dtype": dtype}},
            "outputs": {},
            "reference": f"def run({name}):\n    return ()\n",
            "constraints": list(constraints),
        }
    )
    return index_values(definition, name, sizes, TorchGenerator(7, torch.device("cpu")))


@pytest.mark.parametrize(
    ("name", "constraints", "end"),
    [
        ("kv_indptr", ("num_kv_indices == kv_indptr[-1].item()",), 40),
        ("starts", ("starts[-1].item() == total_q",), 9),
        ("kv_indptr", (), 40),
        ("qo_indptr", (), 9),
        ("cu_seqlens", ("total_q == cu_seqlens[-1].item()",), 9),
        ("cu_seqlens", (), 9),
    ],
)
def test_offsets_rise_from_zero_to_their_end(name, constraints, end) -> None:
    found = drawn(name, ["len_indptr"], "int32", *constraints)
    assert found is not None
    assert (int(found[0]), int(found[-1]), len(found)) == (0, end, 6)
    assert bool((found.diff() > 0).all())


def test_offsets_of_few_elements_have_empty_parts() -> None:
    found = drawn("kv_indptr", ["len_indptr"], num_kv_indices=2)
    assert found is not None and int(found[-1]) == 2 and bool((found.diff() >= 0).all())
    alone = drawn("kv_indptr", ["len_indptr"], len_indptr=1)
    assert alone is not None and alone.tolist() == [0]
    pair = drawn("kv_indptr", ["len_indptr"], len_indptr=2)
    assert pair is not None and pair.tolist() == [0, 40]


def test_offsets_along_one_axis_have_parts_of_like_shares() -> None:
    queries = drawn("qo_indptr", ["len_indptr"], total_q=1000)
    keys = drawn("kv_indptr", ["len_indptr"], num_kv_indices=4000)
    assert queries is not None and keys is not None
    assert bool((keys.diff() >= queries.diff()).all())


@pytest.mark.parametrize(
    ("name", "shape", "least", "most"),
    [
        ("kv_indices", ["num_kv_indices"], 0, 63),
        ("block_table", ["batch", "max_num_pages"], 0, 63),
        ("sparse_indices", ["batch", "num_kv_indices"], 0, 64 * 16 - 1),
        ("kv_last_page_len", ["batch"], 1, 16),
        ("seq_lens", ["batch"], 1, 4 * 16),
        ("topk_ids", ["batch"], 0, 7),
    ],
)
def test_indices_lie_within_what_they_point_into(name, shape, least, most) -> None:
    found = drawn(name, shape)
    assert found is not None
    assert list(found.shape) == [AXES[axis] for axis in shape]
    assert least <= int(found.min()) and int(found.max()) <= most
    assert found.unique().numel() > 1


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("kv_indices", ["num_kv_indices"], "float32"),
        ("k_index_cache", ["num_kv_indices"], "int8"),
        ("weights", ["batch"], "int32"),
        ("top_k", ["batch"], "int32"),
    ],
)
def test_other_inputs_are_left_alone(name, shape, dtype) -> None:
    assert drawn(name, shape, dtype) is None


def test_indices_into_a_state_lie_within_its_places() -> None:
    definition = Definition.model_validate(
        {
            "name": "update",
            "op_type": "mamba_ssu",
            "axes": {"batch": {"type": "var"}, "slots": {"type": "var"}},
            "inputs": {
                "state": {"shape": ["slots"], "dtype": "float32"},
                "state_batch_indices": {"shape": ["batch"], "dtype": "int32"},
            },
            "outputs": {},
            "reference": "def run(state, state_batch_indices):\n    return ()\n",
        }
    )
    values = TorchGenerator(7, torch.device("cpu"))
    found = index_values(definition, "state_batch_indices", {"batch": 99, "slots": 3}, values)
    assert found is not None and sorted(found.unique().tolist()) == [0, 1, 2]


def test_indices_into_nothing_known_are_left_alone() -> None:
    definition: dict[str, Any] = {
        "name": "pointing",
        "op_type": "demo",
        "axes": {"n": {"type": "var"}},
        "inputs": {"indices": {"shape": ["n"], "dtype": "int64"}},
        "outputs": {},
        "reference": "def run(indices):\n    return ()\n",
    }
    values = TorchGenerator(7, torch.device("cpu"))
    found = index_values(Definition.model_validate(definition), "indices", {"n": 4}, values)
    assert found is None


PAGED = """\
import torch


def run(q, cache, kv_indptr, kv_indices):
    out = torch.zeros_like(q)
    for row in range(len(q)):
        pages = kv_indices[kv_indptr[row] : kv_indptr[row + 1]].long()
        keys = cache[pages].reshape(-1, q.shape[1])
        out[row] = torch.softmax(keys @ q[row], 0) @ keys
    return out
"""
PAGED_DEFINITION = {
    "name": "paged_decode",
    "op_type": "gqa_paged",
    "axes": {
        **{
            axis: {"type": "var"} for axis in ("batch", "len_indptr", "num_kv_indices", "num_pages")
        },
        **{axis: {"type": "const", "value": n} for axis, n in (("page_size", 2), ("d", 8))},
    },
    "inputs": {
        "q": {"shape": ["batch", "d"], "dtype": "float32"},
        "cache": {"shape": ["num_pages", "page_size", "d"], "dtype": "float32"},
        "kv_indptr": {"shape": ["len_indptr"], "dtype": "int32"},
        "kv_indices": {"shape": ["num_kv_indices"], "dtype": "int32"},
    },
    "outputs": {"out": {"shape": ["batch", "d"], "dtype": "float32"}},
    "constraints": ["len_indptr == batch + 1", "num_kv_indices == kv_indptr[-1].item()"],
    "reference": PAGED,
}
PAGED_WORKLOAD = {
    "uuid": "w",
    "axes": {"batch": 4, "len_indptr": 5, "num_kv_indices": 12, "num_pages": 32},
    "inputs": {name: {"type": "random"} for name in ("q", "cache", "kv_indptr", "kv_indices")},
}


def test_drawn_inputs_meet_the_constraints_of_their_definition() -> None:
    operator = OperatorAdapter(Definition.model_validate(PAGED_DEFINITION))
    case = operator.case(Workload.model_validate(PAGED_WORKLOAD))
    inputs = operator.make_inputs(case, 3, "typical", torch.device("cpu"))
    assert isinstance(inputs["kv_indices"], torch.Tensor)
    assert inputs["kv_indices"].dtype == torch.int32


@pytest.mark.process
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (PAGED, Status.PASSED),
        (PAGED.replace("kv_indptr[row + 1]", "kv_indptr[row + 1] - 1"), Status.INCORRECT_NUMERICAL),
        (PAGED.replace("cache[pages]", "cache[pages ^ 1]"), Status.INCORRECT_NUMERICAL),
    ],
)
def test_an_operator_over_pages_is_judged_without_stored_tensors(judge, tmp_path, body, status):
    (tmp_path / "definition.json").write_text(json.dumps(PAGED_DEFINITION))
    solution = make_solution(body, definition="paged_decode", style="value")
    checks = Checks(trials=1, families=1, held_out=2, sizes=2, timed=False)
    plan = make_plan(solution, tmp_path, generic=True, workloads=[PAGED_WORKLOAD], checks=checks)
    found = judge.evaluate(plan)
    assert found.status is status, found.failure


def pointing(inputs: dict[str, Any], reference: str, name: str, **axes: int) -> torch.Tensor | None:
    definition = Definition.model_validate(
        {
            "name": "pointing",
            "op_type": "demo",
            "axes": {axis: {"type": "var"} for axis in axes},
            "inputs": inputs,
            "outputs": {},
            "reference": reference,
        }
    )
    return index_values(definition, name, axes, TorchGenerator(7, torch.device("cpu")))


def test_indices_lie_within_what_the_reference_indexes_by_them() -> None:
    inputs = {
        "x": {"shape": ["rows", "width"], "dtype": "float32"},
        "kv_indptr": {"shape": ["parts"], "dtype": "int32"},
        "row": {"shape": ["count"], "dtype": "int64"},
        "batch_indices": {"shape": ["count"], "dtype": "int32"},
    }
    reference = "def run(x, p, row, b):\n    return x[row], x[:, row], p[b.long()]\n"
    axes = {"rows": 50, "width": 7, "parts": 4, "count": 500}
    row = pointing(inputs, reference, "row", **axes)
    assert row is not None and (int(row.min()), int(row.max())) == (0, 6)
    batch = pointing(inputs, reference, "batch_indices", **axes)
    assert batch is not None and (int(batch.min()), int(batch.max())) == (0, 2)


@pytest.mark.parametrize(
    ("name", "axis"),
    [("positions", "max_seq_len"), ("pos_ids", "page_size"), ("input_ids", "vocab_size")]
    + [("labels", "num_classes")],
)
def test_positions_and_classes_lie_within_their_axis(name: str, axis: str) -> None:
    inputs = {name: {"shape": ["count"], "dtype": "int64"}}
    found = pointing(inputs, f"def run({name}):\n    return ()\n", name, count=400, **{axis: 9})
    assert found is not None and (int(found.min()), int(found.max())) == (0, 8)


def test_experts_are_packed_with_their_weights_where_the_reference_unpacks_them() -> None:
    inputs = {"topk_ids": {"shape": ["tokens", "top_k"], "dtype": "int32"}}
    reference = "def run(ids, topk_ids=None):\n    return topk_ids >> 16, topk_ids & 0xFFFF\n"
    found = pointing(inputs, reference, "topk_ids", tokens=300, top_k=2, num_experts=8)
    assert found is not None
    packed = found.to(torch.int32)
    assert sorted((packed >> 16).unique().tolist()) == list(range(8))
    weights = (packed & 0xFFFF).to(torch.int16).view(torch.bfloat16)
    assert float(weights.min()) >= 0 and 0.4 < float(weights.float().mean()) < 0.6
