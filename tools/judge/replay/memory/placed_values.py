"""Inputs put where a runner finds them, and outputs and guard bands read after its replays.

One call after another lies at the same places, so that each place is looked up once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ...calls.compared_bytes import copy_flat, differing, flat_words
from ...calls.shared_memory import Damage, Layout, Slot
from ...operators.input_sets import InputSet
from ..recorded_call import RecordedCall
from ..session import Staging


@dataclass(frozen=True)
class _StagedCall:
    """Where the values of one call lie in the staging memory: bytes of inputs, and outputs."""

    inputs: list[torch.Tensor]
    outputs: dict[str, torch.Tensor]


class PlacedValues:
    """The values of the calls of one plan in one runner.

    Args:
        recorded: the plan's call.
        layout: of its tensors, in the arena that the runner has mapped.
        staging: where the values of many calls lie in `memory`.
        memory: the staging memory.
    """

    def __init__(
        self, recorded: RecordedCall, layout: Layout, staging: Staging, memory: torch.Tensor
    ) -> None:
        self.layout, self._staging, self._memory = layout, staging, memory
        self._strides, self._nbytes = recorded.strides, {t.name: t.nbytes for t in recorded.tensors}
        self._inputs = [slot for slot in layout.slots if slot.is_input]
        self.output_slots = [slot for slot in layout.slots if slot.name.startswith("out:")]
        self._in_place = [flat_words(layout.tensor(slot.name)) for slot in self._inputs]
        self._staged: list[_StagedCall] = []

    def put(self, input_sets: Sequence[InputSet]) -> None:
        """Copies the inputs of calls to the staging memory, without waiting."""
        copy_flat(
            [
                (target, _flat(input_set, slot))
                for number, input_set in enumerate(input_sets)
                for slot, target in zip(self._inputs, self._call(number).inputs, strict=True)
            ]
        )

    def outputs(self, number: int) -> dict[str, torch.Tensor]:
        """Copies of the outputs of one call."""
        return {name: value.clone() for name, value in self._call(number).outputs.items()}

    def after(self, last: InputSet) -> tuple[tuple[str, ...], tuple[Damage, ...]]:
        """Which inputs of the last call, and which guard bands, changed."""
        expected = [_flat(last, slot) for slot in self._inputs]
        found = zip(self._in_place, expected, strict=True)
        *changed, hurt = differing([*found, self.layout.guards()])
        mutated = tuple(
            plain(slot.name) for slot, differs in zip(self._inputs, changed, strict=True) if differs
        )
        return mutated, tuple(self.layout.damaged()) if hurt else ()

    def _call(self, number: int) -> _StagedCall:
        while len(self._staged) <= number:
            at = len(self._staged)
            self._staged.append(
                _StagedCall(
                    [flat_words(self._view(at, slot)) for slot in self._inputs],
                    {plain(slot.name): self._view(at, slot) for slot in self.output_slots},
                )
            )
        return self._staged[number]

    def _view(self, number: int, slot: Slot) -> torch.Tensor:
        """A slot's value of one call, in the staging memory."""
        if slot.nbytes == 0:
            return torch.empty(slot.shape, dtype=slot.dtype, device=self._memory.device)
        begin, strides = self._staging.offset(number, slot.name), self._strides.get(slot.name)
        if strides is None:
            flat = self._memory[begin : begin + slot.nbytes]
            return flat.view(slot.dtype).view(slot.shape)
        whole = self._memory[begin : begin + self._nbytes[slot.name]].view(slot.dtype)
        return whole.as_strided(slot.shape, strides)


def plain(name: str) -> str:
    """The name of a slot's tensor in the definition."""
    return name.partition(":")[2]


def poisons_of(slots: Sequence[Slot], byte: int) -> dict[str, int]:
    """The bit pattern of an element of each output that is filled with a byte."""
    return {plain(slot.name): pattern_of(byte, slot) for slot in slots}


def pattern_of(byte: int, slot: Slot) -> int:
    """The bit pattern of an element whose bytes are all the same."""
    return int.from_bytes(bytes([byte]) * slot.dtype.itemsize, "little")


def _flat(input_set: InputSet, slot: Slot) -> torch.Tensor:
    key = (plain(slot.name), slot.dtype)
    if key not in input_set.flat:
        value = input_set.inputs[key[0]]
        assert isinstance(value, torch.Tensor)
        input_set.flat[key] = flat_words(value.to(slot.dtype))
    return input_set.flat[key]
