"""References that no candidate can be compared with."""

from __future__ import annotations

import pytest

from kernel_harness.tools.errors import DatasetError
from kernel_harness.tools.judge.operators.operator_adapter import Case, OperatorAdapter
from kernel_harness.tools.judge.operators.reference_check import (
    constant_outputs,
    require_repeatable,
)

from ....judging import AFFINE, read_definition
from .examples import CASE, CPU, generic_definition

HEAD = "import torch\ndef run(x, s):\n"
SMALL = Case("w", {"m": 4})


def generic(body: str, **changes) -> OperatorAdapter:
    return OperatorAdapter(generic_definition(reference=f"{HEAD}    {body}\n", **changes))


@pytest.mark.parametrize(
    "body",
    [
        "return torch.nn.functional.dropout(x, 0.1)",
        "return x + torch.randn_like(x) * 0.05",
        "return torch.rand_like(x)",
        "return torch.where(torch.rand(x.shape) < 0.5, float('nan'), x)",
        "return x[torch.randperm(len(x))]",
    ],
)
def test_a_random_reference_is_refused(body):
    with pytest.raises(DatasetError, match="random") as caught:
        require_repeatable(generic(body), Case("w", {"m": 32}), CPU)
    assert "field reference" in caught.value.where and caught.value.remedy


def test_samples_are_random_too():
    body = "return torch.multinomial(x.float().softmax(-1), 1)[:, 0]"
    outputs = {"y": {"shape": ["m"], "dtype": "int64"}}
    with pytest.raises(DatasetError, match="random"):
        require_repeatable(generic(body, outputs=outputs), Case("w", {"m": 16}), CPU)


@pytest.mark.parametrize(
    "body",
    [
        "return x * s",
        "torch.manual_seed(0); return x + torch.randn_like(x)",
        "return x / 0 * 0",
        "return (x.float() + 1e-4 * torch.rand(1)).to(x.dtype) if s is None else x",
        "return x * (1 + 1e-5 * torch.rand(()))",
    ],
)
def test_a_function_of_the_inputs_is_accepted_up_to_the_order_of_sums(body):
    require_repeatable(generic(body), SMALL, CPU)


def test_an_operators_own_code_is_held_to_the_same(tmp_path):
    require_repeatable(OperatorAdapter(read_definition(AFFINE), AFFINE), CASE, CPU)


@pytest.mark.parametrize(
    ("body", "constant"),
    [
        ("return torch.zeros_like(x)", ["y"]),
        ("return x - x", ["y"]),
        ("return x.float().softmax(-1).cumsum(-1).clamp(9, 9).to(x.dtype)", ["y"]),
        ("return x * s", []),
        ("return x.abs().clamp(max=20)", []),
    ],
)
def test_an_output_that_is_always_the_same_is_named(body, constant):
    assert constant_outputs(generic(body), [SMALL], CPU) == constant


def test_a_small_workload_that_has_but_one_answer_is_no_constant():
    operator = generic("return x.float().softmax(0).to(x.dtype)")
    cases = [Case("w1", {"m": 1}), Case("w4", {"m": 4})]
    assert constant_outputs(operator, cases[:1], CPU) == ["y"]
    assert constant_outputs(operator, cases, CPU) == []
    assert constant_outputs(operator, [], CPU) == []
