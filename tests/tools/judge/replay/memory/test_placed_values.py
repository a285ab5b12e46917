"""Inputs lie where the runner finds them; outputs are read with their strides."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
import torch

from kernel_harness.tools.judge.calls.judged_call import slots_of
from kernel_harness.tools.judge.calls.shared_memory import HostMemory, SharedArena, place
from kernel_harness.tools.judge.replay.memory.placed_values import PlacedValues
from kernel_harness.tools.judge.replay.recorded_call import RecordedCall
from kernel_harness.tools.judge.replay.session import CallTensor, stage
from kernel_harness.tools.judge.replay.validation import CheckedPlan
from kernel_harness.tools.messages.launch_plan import ARENA_BASE

from ....messages.plans import plan_of
from ...scripted import CASE, affine, input_set

ARENA = 1 << 20


@pytest.fixture
def values() -> PlacedValues:
    slots = slots_of(affine().definition, CASE)
    layout = SharedArena(HostMemory(ARENA), random.Random(1)).at(
        slots, place(slots, ARENA, random.Random(2))
    )
    kept = [slot for slot in slots if slot.name.startswith(("in:", "out:"))]
    tensors = tuple(
        CallTensor(s.name, ARENA_BASE + layout.offsets[s.name], s.nbytes, not s.is_input)
        for s in kept
    )
    plan, file = plan_of(b"a cubin")
    strides = {"out:y": (1, 17)}
    recorded = RecordedCall(CheckedPlan(plan, (file,)), layout, tensors, strides)
    staging = stage(tensors)
    return PlacedValues(recorded, layout, staging, torch.zeros(4 * staging.call_bytes).byte())


def moved(tensor: Any, by: int) -> torch.Tensor:
    """The same values at an address that is no multiple of eight."""
    flat = torch.empty(tensor.numel() + by, dtype=tensor.dtype)[by:]
    return flat.copy_(tensor.flatten()).view(tensor.shape)


@pytest.mark.parametrize("by", [0, 1])
def test_each_call_has_the_bytes_of_its_own_inputs(values, by):
    sets = [input_set(), input_set()]
    inputs = {name: sets[1].inputs[name] for name in sets[1].inputs}
    inputs["x"] = moved(inputs["x"], by)
    sets[1] = replace(sets[1], inputs=inputs, flat={})
    values.put(sets)
    for number, given in enumerate(sets):
        for slot in (s for s in values.layout.slots if s.is_input):
            found = values._view(number, slot)
            value = given.inputs[slot.name.partition(":")[2]]
            assert isinstance(value, torch.Tensor) and torch.equal(found, value)


def test_outputs_are_copies_with_the_strides_that_they_were_returned_with(values):
    (slot,) = [s for s in values.output_slots if s.name == "out:y"]
    values._view(1, slot).copy_(torch.arange(17.0 * 64).view(17, 64))
    found = values.outputs(1)["y"]
    assert torch.equal(found, torch.arange(17.0 * 64).view(17, 64))
    values._view(1, slot).zero_()
    assert found.any()


def test_a_changed_input_is_named_and_guards_are_looked_at(values):
    given = input_set()
    for slot in (s for s in values.layout.slots if s.is_input):
        values.layout.tensor(slot.name).copy_(given.inputs[slot.name.partition(":")[2]])
    assert values.after(given) == ((), ())
    values.layout.tensor("in:w")[0] += 1
    values.layout.bytes[values.layout.offsets["out:row"] - 1] ^= 0xFF
    mutated, damage = values.after(given)
    assert mutated == ("w",)
    assert [(d.slot, d.side) for d in damage] == [("out:row", "before")]
