"""One judged call with a scripted candidate: what is read of memory, whatever it says."""

from __future__ import annotations

import random

import pytest
import torch

from kernel_harness.tools.judge.calls.judged_call import CallOptions, CallOutcome, JudgedCall
from kernel_harness.tools.judge.operators.input_sets import (
    InputGenerator,
    PrefetchedInputs,
    SeedBook,
)
from kernel_harness.tools.judge.operators.operator_adapter import Case, OperatorAdapter

from ....judging import AFFINE, read_definition
from ..scripted import ScriptedSession

CASE = Case("affine-17", {"m": 17}, scalars={"alpha": 0.5})
CPU = torch.device("cpu")


def honest(x, w, table, alpha):
    y = x[table.long()] * w * alpha + 1.0
    return y, y.sum(dim=-1)


class OnlySnapshots(ScriptedSession):
    """Writes the judge's copies, and not the buffers that they should be copies of."""

    def ask(self, message, fds=()):
        if message.kind == "call":
            message = message.model_copy(update={"outputs": []})
        super().ask(message, fds)


@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize(
    ("session", "by_destination", "changed"),
    [
        (ScriptedSession, True, []),
        (OnlySnapshots, True, ["y", "row"]),
        (OnlySnapshots, False, []),
    ],
)
def test_the_callers_buffers_hold_what_is_judged(session, by_destination, changed, late):
    operator = OperatorAdapter(read_definition(AFFINE), AFFINE)
    judged = JudgedCall(
        session(honest),
        operator.definition,
        CPU,
        random.Random(1),
        by_destination=by_destination,
    )
    assert judged.map([CASE]) is None
    generator = InputGenerator(operator, CPU, SeedBook(), PrefetchedInputs(1 << 20))
    outcome = judged.call(generator.generate(CASE), CallOptions(late=late))
    assert isinstance(outcome, CallOutcome)
    assert outcome.changed_late == changed
    judged.close()
