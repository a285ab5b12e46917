"""Constraints are decided from a small language; what is outside it is said, never skipped."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.schema.constraints import (
    ConstraintStatus,
    ShapeOnly,
    check_constraint,
    value_of,
)
from kernel_harness.tools.schema.flashinfer_trace import Definition
from tests.folding import for_each

NAMES: dict[str, Any] = {"a": 8, "b": 3, "x": ShapeOnly((8, 4)), "scale": ShapeOnly(None)}


@for_each(
    "text, outcome",
    [
        ("a % 4 == 0", ConstraintStatus.HOLDS),
        ("a == b + 5", ConstraintStatus.HOLDS),
        ("a // 3 == 2 and -b < 0", ConstraintStatus.HOLDS),
        ("1 <= b < 3 or not a", ConstraintStatus.VIOLATED),
        ("a * b > 100", ConstraintStatus.VIOLATED),
        ("x.shape[0] == a", ConstraintStatus.HOLDS),
        ("len(x) == a", ConstraintStatus.HOLDS),
        ("x.shape[-1] == a", ConstraintStatus.VIOLATED),
        ("len(x.shape) == 2", ConstraintStatus.HOLDS),
        ("x[-1].item() == a", ConstraintStatus.UNDECIDED),
        ("x > 0", ConstraintStatus.UNDECIDED),
        ("scale", ConstraintStatus.UNDECIDED),
        ("a / 0 == 1", ConstraintStatus.UNEVALUABLE),
        ("a ** a ** a ** a > 1", ConstraintStatus.UNEVALUABLE),
        ("a << 99", ConstraintStatus.UNEVALUABLE),
        ("c == 1", ConstraintStatus.UNEVALUABLE),
        ("'a' == a", ConstraintStatus.UNEVALUABLE),
        ("a is b", ConstraintStatus.UNEVALUABLE),
        ("x.dtype == a", ConstraintStatus.UNEVALUABLE),
        ("scale.shape[0] == 1", ConstraintStatus.UNEVALUABLE),
        ("x.__class__", ConstraintStatus.UNEVALUABLE),
        ("[a for a in (1,)]", ConstraintStatus.UNEVALUABLE),
        ("(lambda: 1)()", ConstraintStatus.UNEVALUABLE),
        ("print(a)", ConstraintStatus.UNEVALUABLE),
        ("x.sum() > 0", ConstraintStatus.UNEVALUABLE),
        ("a ==", ConstraintStatus.UNEVALUABLE),
        ("(" * 300 + ")" * 300, ConstraintStatus.UNEVALUABLE),
    ],
)
def test_an_expression_has_an_outcome(text: str, outcome: ConstraintStatus) -> None:
    check = check_constraint(text, NAMES)
    assert check.outcome is outcome
    assert check.text == text
    assert bool(check.why) is (
        outcome in (ConstraintStatus.UNDECIDED, ConstraintStatus.UNEVALUABLE)
    )


def test_nothing_in_a_constraint_is_executed() -> None:
    ran: list[int] = []

    class Trap:
        shape = (1,)

        def item(self, *arguments: int) -> int:
            ran.append(1)
            return 1

        def evil(self) -> None:
            ran.append(2)

    for text in ("t.evil()", "t.item(1)", "getattr(t, 'evil')()", "__import__('os').getpid()"):
        assert check_constraint(text, {"t": Trap()}).outcome is ConstraintStatus.UNEVALUABLE
    assert ran == []


@given(st.text(max_size=40))
def test_no_text_makes_it_raise(text: str) -> None:
    assert check_constraint(text, NAMES).text == text


@given(st.integers(-50, 50), st.integers(-50, 50))
def test_arithmetic_agrees_with_python(a: int, b: int) -> None:
    check = check_constraint("a * 3 - b >= a + b and a != b", {"a": a, "b": b})
    assert check.outcome is (
        ConstraintStatus.HOLDS if a * 3 - b >= a + b and a != b else ConstraintStatus.VIOLATED
    )


def prefill() -> Definition:
    return Definition.model_validate(
        {
            "name": "prefill",
            "op_type": "demo",
            "axes": {"total": {}, "seqs": {}, "bounds": {}},
            "inputs": {
                "q": {"shape": ["total"], "dtype": "bfloat16"},
                "cu": {"shape": ["bounds"], "dtype": "int64"},
            },
            "outputs": {},
            "reference": "def run(q, cu): ...",
            "constraints": ["bounds == seqs + 1", "total == cu[-1].item()", "q.shape[0] == total"],
        }
    )


def test_contents_of_inputs_decide_once_they_are_there() -> None:
    axes = {"total": 7, "seqs": 2, "bounds": 3}
    outcomes = [check.outcome for check in prefill().check_constraints(axes)]
    assert outcomes == [ConstraintStatus.HOLDS, ConstraintStatus.UNDECIDED, ConstraintStatus.HOLDS]
    inputs = {"q": torch.zeros(7), "cu": torch.tensor([0, 3, 7])}
    assert prefill().violated_constraints(axes, inputs) == []
    inputs["cu"] = torch.tensor([0, 3, 6])
    assert prefill().violated_constraints(axes, inputs) == ["total == cu[-1].item()"]


def test_a_violation_of_the_axes_alone_is_seen() -> None:
    axes = {"total": 7, "seqs": 3, "bounds": 3}
    assert prefill().violated_constraints(axes) == ["bounds == seqs + 1"]


@pytest.mark.parametrize(
    "text, value",
    [
        *(("hidden // heads", 128), ("(tokens + 3) * 2 - 1", 21), ("2 ** tokens % 7", 4)),
        *(("-tokens + 9", 1), ("hidden / heads", 128.0)),
    ],
)
def test_an_expression_over_axes_has_a_value(text: str, value: float) -> None:
    assert value_of(text, {"hidden": 4096, "heads": 32, "tokens": 8}) == value


@pytest.mark.parametrize(
    "text", ["hidden // 0", "width", "10 ** 99999", "hidden > 3", "open('x')", "hidden +", "x.y"]
)
def test_an_expression_without_a_value_says_so(text: str) -> None:
    with pytest.raises(ValueError, match="expression"):
        value_of(text, {"hidden": 4096})
