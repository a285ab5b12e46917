"""Held-out cases: whose sizes they are, and what varies in them."""

from __future__ import annotations

import random

import pytest

from kernel_harness.tools.judge.operators.held_out_cases import (
    HELD_OUT,
    draw_held_out,
    planned_held_out,
)
from kernel_harness.tools.judge.operators.input_sets import SeedBook
from kernel_harness.tools.judge.operators.operator_adapter import OperatorAdapter
from kernel_harness.tools.messages.judge import Checks
from kernel_harness.tools.schema.flashinfer_trace import Workload
from kernel_harness.tools.workloads.held_out import UNIFORM
from kernel_harness.tools.workloads.operators import Operator

from ....judging import AFFINE, make_plan, make_solution, read_workloads
from .examples import CPU, generic_definition, tensor


def generic_workloads(*sizes: int, **inputs) -> list[Workload]:
    scalar = {"s": {"type": "scalar", "value": 0.5}}
    return [
        Workload.model_validate(
            {"uuid": f"w{m}", "axes": {"m": m}, "inputs": scalar | dict(inputs.items())}
        )
        for m in sizes
    ]


def drawn(operator, workloads, chosen=3, uniform=4, seed=1):
    cases = [operator.case(w) for w in workloads]
    return draw_held_out(
        operator, random.Random(seed), cases, workloads, chosen=chosen, uniform=uniform
    )


def test_the_seed_of_held_out_cases_is_recorded_and_draws_them_again(operator):
    cases = [operator.case(Workload.model_validate(w)) for w in read_workloads(AFFINE)]
    plan = make_plan(
        make_solution("def run(): pass", definition="affine_n64"),
        checks=Checks(held_out=3, sizes=6),
        public_workloads=read_workloads(AFFINE),
    )
    books = [SeedBook() for _ in range(3)]
    first, other = (planned_held_out(plan, operator, cases, book) for book in books[:2])
    (seed,) = books[0].seeds[HELD_OUT]
    plan = plan.model_copy(update={"replay_seeds": {HELD_OUT: [seed]}})
    again = planned_held_out(plan, operator, cases, books[2])
    assert again == first != other and books[2].seeds == books[0].seeds


def test_an_operators_own_sizes_come_first_and_uniform_ones_follow(operator):
    workloads = [Workload.model_validate(w) for w in read_workloads(AFFINE)]
    public = {w.axes["m"] for w in workloads}
    cases = drawn(operator, workloads).cases
    assert [case.draw for case in cases] == ["near"] * 3 + [UNIFORM] * 4
    assert {case.axes["m"] for case in cases[:3]} <= {1, 2, 5, 31, 33, 65, 127}
    sizes = [case.axes["m"] for case in cases]
    assert len(set(sizes)) == len(sizes) and not public.intersection(sizes[3:])
    assert all(case.held_out for case in cases)


def test_sizes_of_an_operator_without_its_own_are_the_definitions():
    operator = OperatorAdapter(generic_definition())
    found = drawn(operator, generic_workloads(4, 40))
    assert found.legal == 38 and len(found.cases) == 7
    assert all(1 <= case.axes["m"] <= 40 for case in found.cases)
    assert found.cases[0].draw == "small" and found.cases[0].axes["m"] <= 8


def test_other_sizes_are_drawn_like_what_was_recorded_of_public_ones():
    said = {"kind": "normal", "mean": 3, "deviation": 0.5, "least": 1, "greatest": 5}
    given = {"x": {"type": "random", "statistics": said}}
    definition = generic_definition()
    public = Operator(definition, tuple(generic_workloads(4, 40, **given))).without_tensors
    operator = OperatorAdapter(definition)
    for case in drawn(operator, [Workload.model_validate(dump) for dump in public]).cases:
        x = tensor(operator.make_inputs(case, 1, "typical", CPU)["x"])
        assert 1 <= x.min() and 2 < x.float().mean() < 4


def test_scalars_vary_and_the_public_ones_are_kept_beside_them():
    found = drawn(OperatorAdapter(generic_definition()), generic_workloads(4, 40))
    values = [case.scalars["s"] for case in found.cases]
    assert len(set(values)) == len(values) and all(0.25 <= v <= 1.0 for v in values)
    assert all(found.public_scalars[case.uuid] == {"s": 0.5} for case in found.cases)


@pytest.mark.parametrize(
    "tied",
    [
        {"constraints": ["m == x[0].item()"]},
        {"files": True},
    ],
    ids=["contents decide", "tensors come from files"],
)
def test_where_sizes_cannot_be_drawn_the_public_ones_get_other_scalars(tied):
    definition = generic_definition(constraints=tied.get("constraints", []))
    stored = {"type": "safetensors", "path": "x.safetensors", "tensor_key": "x"}
    workloads = generic_workloads(4, 40, **({"x": stored} if "files" in tied else {}))
    found = drawn(OperatorAdapter(definition), workloads)
    assert [case.draw for case in found.cases] == ["scalars"] * 3 and found.legal == 0
    assert {case.axes["m"] for case in found.cases} <= {4, 40}
    assert all(case.scalars["s"] != 0.5 for case in found.cases)
    assert all(("x" in case.files) == ("files" in tied) for case in found.cases)


def test_nothing_is_held_out_where_neither_sizes_nor_scalars_can_vary():
    inputs = {"x": {"shape": ["m", "n"], "dtype": "bfloat16"}}
    reference = "def run(x):\n    return x\n"
    definition = generic_definition(
        inputs=inputs, reference=reference, constraints=["m == x[0].item()"]
    )
    workloads = [Workload.model_validate({"uuid": "w", "axes": {"m": 4}, "inputs": {}})]
    assert drawn(OperatorAdapter(definition), workloads).cases == ()
