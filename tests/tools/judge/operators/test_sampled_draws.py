"""Samplers judged from end to end: right ones pass although no two calls are alike."""

from __future__ import annotations

import json
import random

import pytest
import torch

from kernel_harness.tools.judge.operators.operator_adapter import OperatorAdapter
from kernel_harness.tools.judge.operators.sampled_draws import DISTRIBUTION, SampledDraws
from kernel_harness.tools.messages.judge import Checks
from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.schema.flashinfer_trace import Definition

from ....judging import make_plan, make_solution

DEFINITION = {
    "name": "draw_n32",
    "op_type": "demo",
    "axes": {"b": {"type": "var"}, "n": {"type": "const", "value": 32}},
    "inputs": {
        "probs": {"shape": ["b", "n"], "dtype": "float32"},
        "seed": {"shape": None, "dtype": "int64"},
    },
    "outputs": {"y": {"shape": ["b"], "dtype": "int64"}},
    "reference": "import torch\ndef run(probs, seed):\n"
    "    return torch.multinomial(probs, 1)[:, 0]\n",
}
POLICY = '[sampled.y]\nprobabilities = "probs"\ndraws = 1000\nseeds = ["seed"]\n'
GIVEN = {"probs": {"type": "random"}, "seed": {"type": "scalar", "value": 1}}
WORKLOAD = {"uuid": "w", "axes": {"b": 64}, "inputs": GIVEN}
HEAD = "import torch\ndef run(probs, seed):\n    "
SEEDED = "g = torch.Generator().manual_seed(seed)\n    "


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One for all, for the judge holds each reference to its probabilities for a while."""
    return written(tmp_path_factory.mktemp("draw"), POLICY)


def written(folder, policy):
    (folder / "definition.json").write_text(json.dumps(DEFINITION))
    (folder / "policy.toml").write_text(policy)
    return folder


def evaluate(judge, folder, body, *, checks=None, **options):
    solution = make_solution(f"{HEAD}{body}\n", definition="draw_n32", style="value")
    checks = checks or Checks(trials=1, families=1, determinism_runs=2, timed=False)
    return judge.evaluate(
        make_plan(solution, folder, workloads=[WORKLOAD], checks=checks, **options)
    )


@pytest.mark.process
@pytest.mark.parametrize(
    "body",
    [
        "return torch.multinomial(probs, 1)[:, 0]",
        f"{SEEDED}return torch.multinomial(probs, 1, generator=g)[:, 0]",
        f"{SEEDED}return (probs / torch.empty_like(probs).exponential_(generator=g)).argmax(-1)",
    ],
)
def test_a_right_sampler_passes_and_the_check_is_named(judge, folder, body):
    evaluation = evaluate(judge, folder, body)
    assert evaluation.status is Status.PASSED, evaluation.failure
    assert DISTRIBUTION in evaluation.integrity.checks
    assert evaluation.workloads[0].calls_checked >= 1000 / 64


@pytest.mark.process
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("return probs.argmax(-1)", "wrong_distribution"),
        ("return torch.multinomial(probs**2, 1)[:, 0]", "wrong_distribution"),
        ("return torch.multinomial(probs, 1)[:, 0] + 1", "impossible_sample"),
        ("return torch.full((len(probs),), -1, device=probs.device)", "impossible_sample"),
    ],
)
def test_a_wrong_sampler_is_caught(judge, folder, body, kind):
    evaluation = evaluate(judge, folder, body)
    assert evaluation.status is Status.INCORRECT_NUMERICAL, evaluation.failure
    assert evaluation.failure is not None and evaluation.failure.kind == kind


@pytest.mark.process
def test_a_sampler_of_one_seed_is_caught_where_the_definition_has_no_seed(judge, tmp_path):
    folder = written(tmp_path, POLICY.replace('seeds = ["seed"]\n', ""))
    fixed = "torch.manual_seed(0); return torch.multinomial(probs, 1)[:, 0]"
    evaluation = evaluate(judge, folder, fixed)
    assert evaluation.failure is not None and evaluation.failure.kind == "same_draws"
    passed = evaluate(judge, folder, "return torch.multinomial(probs, 1)[:, 0]")
    assert passed.status is Status.PASSED


@pytest.mark.process
def test_too_few_draws_are_no_verdict(judge, tmp_path):
    folder = written(tmp_path, POLICY.replace("1000", "100000000"))
    body = "return torch.multinomial(probs, 1)[:, 0]"
    evaluation = evaluate(judge, folder, body, budget_s=1.0)
    assert evaluation.status is Status.PARTIAL
    assert evaluation.partial_reason is not None
    assert "of 100000000 draws of 'y' fitted into the budget" in evaluation.partial_reason


def test_nothing_is_gathered_where_nothing_is_drawn():
    fields = {"reference": "def run(probs, seed):\n    return probs.argmax(-1)\n"}
    operator = OperatorAdapter(Definition.model_validate({**DEFINITION, **fields}))
    draws = SampledDraws(operator, random.Random(0))
    draws.note({}, {"y": torch.zeros(3)})
    assert not draws and not draws.missing and draws.wrong() is None
