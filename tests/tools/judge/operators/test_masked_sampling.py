"""Operators of type sampling in FlashInfer-Trace's forms, judged without a policy of their own."""

from __future__ import annotations

import json

import pytest

from kernel_harness.tools.messages.judge import Checks, JudgeFault
from kernel_harness.tools.schema.evaluation import Status

from ....judging import make_plan, make_solution

HEAD = "import torch\n\n\ndef run({arguments}):\n"
TOP_K = """\
    size = probs.shape[1]
    most = torch.where((top_k > 0) & (top_k < size), top_k, size)
    rank = probs.argsort(dim=-1, descending=True).argsort(dim=-1)
    kept = torch.where(rank < most[:, None], probs, 0.0)
    probs = kept / kept.sum(-1, keepdim=True)
"""
TOP_P = """\
    values, index = probs.sort(dim=-1, descending=True)
    gone = values.cumsum(-1) > top_p[:, None]
    gone[:, 1:] = gone[:, :-1].clone()
    gone[:, 0] = False
    probs = torch.zeros_like(probs).scatter(-1, index, values.masked_fill(gone, 0.0))
"""
DRAWN = "    return torch.multinomial(probs, 1)[:, 0]\n"
FORMS = {
    "plain": ([], ""),
    "top_k": (["top_k"], TOP_K),
    "top_p": (["top_p"], TOP_P),
    "both": (["top_k", "top_p"], TOP_K + TOP_P),
}
LIMITS = {
    "top_k": {"shape": ["b"], "dtype": "int32"},
    "top_p": {"shape": ["b"], "dtype": "float32"},
}


def planned(folder, form: str, body: str, masks: str | None = None):
    """A plan for a program; `masks` are the reference's, in place of the form's."""
    names, usual = FORMS[form]
    masks = usual if masks is None else masks
    head = HEAD.format(arguments=", ".join(["probs", *names]))
    definition = {
        "name": "draw_token",
        "op_type": "sampling",
        "axes": {"b": {"type": "var"}, "vocabulary": {"type": "const", "value": 64}},
        "inputs": {
            "probs": {"shape": ["b", "vocabulary"], "dtype": "float32"},
            **{name: LIMITS[name] for name in names},
        },
        "outputs": {"samples": {"shape": ["b"], "dtype": "int64"}},
        "reference": head + masks + DRAWN,
    }
    (folder / "definition.json").write_text(json.dumps(definition))
    solution = make_solution(head + body, definition="draw_token", style="value")
    given = {name: {"type": "random"} for name in definition["inputs"]}
    # So many rows that every wrong distribution below is found: of 64 rows some runs missed one.
    workload = {"uuid": "w", "axes": {"b": 1024}, "inputs": given}
    checks = Checks(trials=1, families=1, determinism_runs=2, timed=False)
    return make_plan(solution, folder, generic=True, workloads=[workload], checks=checks)


@pytest.mark.process
@pytest.mark.parametrize("form", FORMS)
def test_the_reference_passes(judge, tmp_path, form):
    found = judge.evaluate(planned(tmp_path, form, FORMS[form][1] + DRAWN))
    assert found.status is Status.PASSED, found.failure


@pytest.mark.process
@pytest.mark.parametrize(
    ("form", "body", "kind"),
    [
        ("top_k", DRAWN, "impossible_sample"),
        ("top_p", DRAWN, "impossible_sample"),
        ("both", TOP_P + DRAWN, "impossible_sample"),
        ("both", TOP_K + DRAWN, "impossible_sample"),
        ("top_k", f"{TOP_K}    probs = probs * probs\n{DRAWN}", "wrong_distribution"),
        ("top_p", f"    top_p = top_p - 0.8\n{TOP_P}{DRAWN}", "wrong_distribution"),
        ("both", "    return probs.argmax(-1)\n", "wrong_distribution"),
    ],
)
def test_a_mask_that_is_left_out_or_wrong_is_caught(judge, tmp_path, form, body, kind):
    found = judge.evaluate(planned(tmp_path, form, body))
    assert found.status is Status.INCORRECT_NUMERICAL
    assert found.failure is not None and found.failure.kind == kind


@pytest.mark.process
def test_a_reference_that_draws_by_another_mask_is_refused(judge, tmp_path):
    halved = TOP_P.replace("top_p[:, None]", "(top_p[:, None] / 2)")
    fault = judge.ask(planned(tmp_path, "top_p", halved + DRAWN, halved))
    assert isinstance(fault, JudgeFault) and fault.of_dataset
    assert "does not draw by the probabilities" in fault.what
