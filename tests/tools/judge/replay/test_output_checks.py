"""Every replayed output is judged: in full, or by its bits against one that was."""

from dataclasses import replace

import pytest
import torch

from kernel_harness.tools.judge.calls.judged_call import CallOptions, CallOutcome
from kernel_harness.tools.judge.operators.input_sets import InputSet
from kernel_harness.tools.judge.processes.lost import ProcessLost
from kernel_harness.tools.judge.replay import output_checks
from kernel_harness.tools.judge.replay.output_checks import (
    ReplayDiffersError,
    RightOutputs,
    poison_bytes,
)

from ..scripted import ScriptedSession, affine, honest, input_set, judged_call


def called(inputs: InputSet, compute=honest) -> CallOutcome:
    outcome = judged_call(ScriptedSession(compute)).call(inputs, CallOptions())
    assert not isinstance(outcome, ProcessLost)
    return outcome


def rounded(x, w, table, alpha):
    """Right, with other bits."""
    y = (x[table.long()] * (w * alpha)) + 1.0
    return y, y.flip(-1).sum(dim=-1)


def wrong(x, w, table, alpha):
    y, row = honest(x, w, table, alpha)
    y[3, 5] += 1.0
    return y, row


@pytest.fixture
def compared(monkeypatch):
    """Counts the calls whose outputs are compared with the reference."""
    count = {"full": 0}
    judge = output_checks.judge_call

    def judging(*arguments, outputs_are_right=False, accepted=None):
        count["full"] += not outputs_are_right
        return judge(*arguments, outputs_are_right=outputs_are_right, accepted=accepted)

    monkeypatch.setattr(output_checks, "judge_call", judging)
    return count


def test_the_first_of_equal_outputs_is_compared_with_the_reference(compared):
    one, other = input_set(), input_set()
    right = RightOutputs(affine())
    right.require([one, other], [called(one), called(other)])
    right.require([one, other, one], [called(one), called(other), called(one)])
    assert compared["full"] == 2


def test_a_wrong_output_after_a_right_one_on_the_same_inputs_is_found():
    inputs = input_set()
    right = RightOutputs(affine())
    right.require([inputs, inputs], [called(inputs), called(inputs)])
    with pytest.raises(ReplayDiffersError, match="y"):
        right.require([inputs, inputs], [called(inputs), called(inputs, wrong)])


def test_outputs_with_other_bits_are_compared_with_the_reference(compared):
    inputs = input_set()
    calls = [called(inputs, compute) for compute in (honest, rounded, honest)]
    RightOutputs(affine()).require([inputs] * 3, calls)
    assert compared["full"] == 2


def test_memory_is_judged_where_outputs_are_equal():
    inputs = input_set()
    right = RightOutputs(affine())
    right.require([inputs], [called(inputs)])
    with pytest.raises(ReplayDiffersError, match="changed its input"):
        right.require([inputs], [replace(called(inputs), mutated=["x"])])


def test_outputs_of_other_inputs_prove_nothing(compared):
    one = input_set()
    right = RightOutputs(affine())
    right.require([one], [called(one)])
    right.forget()
    right.require([one], [called(one)])
    assert compared["full"] == 2


def test_neighbouring_calls_have_other_poison():
    found = poison_bytes(9, seed=2)
    assert all(a != b for a, b in zip(found, found[1:], strict=False))


def test_an_unwritten_element_is_found_by_the_first_call():
    inputs = input_set()
    outcome = called(inputs)
    outputs = {**outcome.outputs, "row": torch.full_like(outcome.outputs["row"], float("nan"))}
    with pytest.raises(ReplayDiffersError, match="row"):
        RightOutputs(affine()).require([inputs], [replace(outcome, outputs=outputs)])
