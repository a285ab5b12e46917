"""References that no candidate can be compared with."""

from __future__ import annotations

import pytest

from kernel_harness.tools.errors import DatasetError
from kernel_harness.tools.judge.operators import reference_check
from kernel_harness.tools.judge.operators.operator_adapter import Case, OperatorAdapter
from kernel_harness.tools.judge.operators.reference_check import (
    check_operator,
    check_reference,
    constant_outputs,
    require_repeatable,
)
from kernel_harness.tools.messages.judge import CheckOperator

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
    ("first_s", "each_s", "constant"),
    [(60.0, 0.001, ["y"]), (60.0, 60.0, []), (0.001, 60.0, ["y"])],
)
def test_only_calls_that_are_all_slow_keep_a_constant_output_from_being_looked_for(
    monkeypatch, first_s, each_s, constant
):
    now, calls = [0.0], [0]
    trusted = OperatorAdapter.trusted

    def timed(self, case, inputs):
        calls[0] += 1
        now[0] += first_s if calls[0] == 1 else each_s
        return trusted(self, case, inputs)

    monkeypatch.setattr(OperatorAdapter, "trusted", timed)
    monkeypatch.setattr(reference_check.time, "monotonic", lambda: now[0])
    assert check_reference(generic("return torch.zeros_like(x)"), [SMALL], CPU, {}) == constant


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


MULTINOMIAL = "torch.multinomial(x.float(), 1)[:, 0]"
SAMPLE = {"y": {"shape": ["m"], "dtype": "int64"}}


def sampler(tmp_path, body: str, policy: str = 'probabilities = "x"') -> OperatorAdapter:
    (tmp_path / "policy.toml").write_text(f"[sampled.y]\n{policy}\n")
    reference = f"{HEAD}    return {body}\n"
    return OperatorAdapter(generic_definition(reference=reference, outputs=SAMPLE), tmp_path)


def test_a_reference_that_is_said_to_draw_may_be_random_and_is_held_to_its_probabilities(tmp_path):
    right = sampler(tmp_path, MULTINOMIAL)
    case = Case("w", {"m": 64})
    assert check_reference(right, [case], CPU, {}) == []
    for body in ("x.float().argmax(-1)", "torch.multinomial(x.float() ** 4 + 1e-9, 1)[:, 0]"):
        with pytest.raises(DatasetError, match="does not draw by the probabilities"):
            check_reference(sampler(tmp_path, body), [case], CPU, {})
    with pytest.raises(DatasetError, match="cannot occur"):
        check_reference(sampler(tmp_path, f"{MULTINOMIAL} + 8"), [case], CPU, {})


def test_probabilities_of_the_operators_own_and_seeds_of_each_call(tmp_path):
    own = "def probabilities(output, x, s):\n    return (x.float() ** 4 + 1e-9)\n"
    (tmp_path / "oracle.py").write_text(own)
    said = 'probabilities = "oracle.py"\nseeds = ["s"]'
    inputs = {**generic_definition().model_dump(mode="json")["inputs"]}
    inputs["s"] = {"shape": None, "dtype": "int64"}
    (tmp_path / "policy.toml").write_text(f"[sampled.y]\n{said}\n")
    body = "torch.multinomial(x.float() ** 4 + 1e-9, 1)[:, 0]"
    changes = {"reference": f"{HEAD}    return {body}\n", "outputs": SAMPLE, "inputs": inputs}
    operator = OperatorAdapter(generic_definition(**changes), tmp_path)
    case = Case("w", {"m": 64}, scalars={"s": 7})
    assert check_reference(operator, [case], CPU, {}) == []
    drawn = {operator.make_inputs(case, seed, "typical", CPU)["s"] for seed in range(5)}
    assert len(drawn) == 5 and 7 not in drawn
    assert operator.make_inputs(case, 1, "typical", CPU)["s"] in drawn


def test_a_definition_of_type_sampling_with_probabilities_says_what_it_draws():
    probs = {"probs": {"shape": ["m", "n"], "dtype": "float32"}}
    reference = "import torch\ndef run(probs):\n    return torch.multinomial(probs, 1)[:, 0]\n"
    fields = {"op_type": "sampling", "outputs": SAMPLE, "reference": reference}
    told = OperatorAdapter(generic_definition(inputs=probs, **fields))
    assert told.sampled["y"].probabilities == "probs"
    first = {**probs, "top_k": {"shape": ["m"], "dtype": "int32"}}
    of_the_first = OperatorAdapter(generic_definition(inputs=first, **fields)).sampled["y"]
    assert (of_the_first.probabilities, of_the_first.top_k) == ("probs", "top_k")
    more = {**probs, "temperature": {"shape": ["m"], "dtype": "float32"}}
    assert not OperatorAdapter(generic_definition(inputs=more, **fields)).sampled


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return x * s", None),
        ("return x - x", "Output 'y' of generic does not depend on the inputs"),
        ("return torch.rand_like(x)", "The reference is random"),
        ("return x @ x", "The reference failed with RuntimeError"),
        ("return x[0]", "the shape"),
    ],
)
def test_an_operator_that_is_admitted_is_told_what_makes_it_unfit(body, words):
    definition = generic_definition(reference=f"{HEAD}    {body}\n").model_dump(mode="json")
    inputs = {"x": {"type": "random"}, "s": {"type": "scalar", "value": 2.0}}
    workload = {"uuid": "w", "axes": {"m": 4}, "inputs": inputs}
    message = CheckOperator(
        request_id="r",
        definition=definition,
        operator_dir=None,
        workloads=[workload],
        limit_s=9,
    )
    problems = check_operator(message, CPU).problems
    assert (len(problems) == 1 and words in problems[0]) if words else not problems


@pytest.mark.parametrize("noise, random", [(0.1, True), (0.001, False)])
def test_a_comparison_of_all_outputs_says_whether_a_reference_is_random(tmp_path, noise, random):
    (tmp_path / "compare.py").write_text(
        "def compare_all(inputs, expected, got, limits):\n"
        "    return {'ok': bool((expected['y'] - got['y']).abs().max() < 0.01)}\n"
    )
    reference = f"{HEAD}    return x + {noise} * torch.rand_like(x)\n"
    operator = OperatorAdapter(generic_definition(reference=reference), tmp_path)
    if not random:
        require_repeatable(operator, Case("w", {"m": 32}), CPU)
        return
    with pytest.raises(DatasetError, match="random"):
        require_repeatable(operator, Case("w", {"m": 32}), CPU)


WORKING = "def oracle(x, s):\n    return {'y': x * s}\n\n\n"
ORACLES = {
    "a reference that fails beside an oracle": (
        "return x @ x",
        WORKING + "def trusted(x, s):\n    return {'y': x * s}\n",
        ["The reference failed with RuntimeError"],
    ),
    "an output under another name": (
        "return x * s",
        "def oracle(x, s):\n    return {'out': x * s}\n\n\ntrusted = oracle\n",
        ["gave no 'y', but 'out'", "oracle.py"],
    ),
    "a trusted implementation that fails": (
        "return x * s",
        WORKING + "def trusted(x, s):\n    return {'y': x[99]}\n",
        ["oracle.py", "IndexError"],
    ),
    "nothing": ("return x * s", WORKING + "def trusted(x, s):\n    return {'y': x * s}\n", []),
}


@pytest.mark.parametrize("kind", ORACLES)
def test_both_the_reference_and_what_stands_for_it_are_tried(tmp_path, kind):
    body, oracle, words = ORACLES[kind]
    (tmp_path / "oracle.py").write_text(oracle)
    definition = generic_definition(reference=f"{HEAD}    {body}\n").model_dump(mode="json")
    inputs = {"x": {"type": "random"}, "s": {"type": "scalar", "value": 2.0}}
    problems = check_operator(
        CheckOperator(
            request_id="r",
            definition=definition,
            operator_dir=str(tmp_path),
            workloads=[{"uuid": "w", "axes": {"m": 4}, "inputs": inputs}],
            limit_s=9,
        ),
        CPU,
    ).problems
    assert len(problems) == bool(words), problems
    assert all(word in problems[0] for word in words), problems
