"""Inputs drawn by recorded statistics have them, on every seed, and stay within them."""

from __future__ import annotations

import pytest
import torch

from kernel_harness.tools.collecting.recording.tensor_samples import sample_of, statistics_of
from kernel_harness.tools.judge.operators.generic_operator import FAMILIES
from kernel_harness.tools.judge.operators.operator_adapter import Case, OperatorAdapter
from kernel_harness.tools.schema.drawn_inputs import ValueStatistics
from kernel_harness.tools.schema.flashinfer_trace import Workload

from ..operators.examples import CPU, generic_definition, tensor

SHAPE = (256, 256)


def drawn(said: ValueStatistics, family: str = "typical", dtype: str = "float32") -> torch.Tensor:
    definition = generic_definition(
        axes={"m": {"type": "var"}, "n": {"type": "const", "value": SHAPE[1]}},
        inputs={"x": {"shape": ["m", "n"], "dtype": dtype}},
    )
    operator = OperatorAdapter(definition)
    case = Case("w", {"m": SHAPE[0]}, statistics={"x": said})
    return tensor(operator.make_inputs(case, 5, family, CPU)["x"])


def said_of(value: torch.Tensor) -> ValueStatistics:
    sample = sample_of(value)
    assert sample is not None
    said = statistics_of([sample])
    assert said is not None
    return said


@pytest.mark.parametrize(
    "recorded",
    [
        torch.full(SHAPE, -2.5),
        torch.randn(SHAPE) * 3e-3 + 1,
        torch.rand(SHAPE) * 40 - 50,
        torch.randn(SHAPE) * torch.randn(SHAPE) * 100,
        torch.randn(SHAPE).mul(0.5).exp(),
        torch.relu(torch.randn(SHAPE)),
        torch.randn(SHAPE).mul(2).softmax(-1),
    ],
    ids="constant normal uniform heavy_tailed log_normal relu probabilities".split(),
)
def test_what_is_drawn_has_the_figures_of_what_was_recorded(recorded):
    said = said_of(recorded)
    again = said_of(drawn(said))
    assert again.kind == said.kind
    assert again.zeros == pytest.approx(said.zeros, abs=0.03)
    assert again.mean == pytest.approx(said.mean, abs=0.15 * max(said.deviation, abs(said.mean)))
    assert again.deviation == pytest.approx(said.deviation, rel=0.3)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_stays_within_what_was_recorded(family):
    said = said_of(torch.randn(SHAPE) * 0.1 + 7)
    made = drawn(said, family)
    assert said.least <= made.min() and made.max() <= said.greatest


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_of_probabilities_sum_to_one_in_every_family(family):
    made = drawn(said_of(torch.randn(SHAPE).softmax(-1)), family)
    torch.testing.assert_close(made.sum(-1), torch.ones(SHAPE[0]))


def test_integers_and_bools_are_drawn_from_what_was_seen():
    made = drawn(said_of(torch.randint(3, 9, SHAPE)), dtype="int32")
    assert made.dtype == torch.int32 and set(made.unique().tolist()) == set(range(3, 9))
    made = drawn(said_of(torch.rand(SHAPE) < 0.2), dtype="bool")
    assert float(made.float().mean()) == pytest.approx(0.2, abs=0.02)


def test_statistics_out_of_order_are_refused():
    with pytest.raises(ValueError, match="above greatest"):
        ValueStatistics.model_validate(
            {"kind": "normal", "mean": 0, "deviation": 1, "least": 2, "greatest": 1}
        )


def test_a_workload_without_statistics_is_written_as_before():
    inputs = {"x": {"type": "random"}, "s": {"type": "scalar", "value": 2}}
    workload = Workload.model_validate({"uuid": "w", "axes": {"m": 1}, "inputs": inputs})
    assert workload.model_dump(mode="json")["inputs"] == inputs
    assert workload.statistics == {}
