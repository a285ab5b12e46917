"""Memory that calls returned, and what may be returned of an argument."""

import numpy
import torch

from kernel_harness.tools.candidate.calls.shared_memory import (
    HELD_CALLS,
    ReturnedMemory,
    lies_in,
)


def test_memory_that_shares_a_byte_with_what_was_returned_is_held():
    whole = numpy.zeros(8, dtype=numpy.float32)
    memory = ReturnedMemory()
    memory.add([torch.from_numpy(whole[2:5])])
    for begin, held in ((0, False), (1, True), (3, True), (4, True), (5, False)):
        assert memory.holds(torch.from_numpy(whole[begin : begin + 2])) is held


def test_memory_of_long_ago_is_held_as_long_as_somebody_keeps_it():
    kept, memory = torch.zeros(3), ReturnedMemory()
    memory.add([kept])
    for _ in range(HELD_CALLS + 1):
        memory.add([torch.zeros(3)])
    assert memory.holds(kept) and not memory.holds(torch.zeros(3))


def test_every_element_must_lie_in_the_argument():
    whole = torch.zeros(10)
    argument = whole[2:6]
    assert lies_in(argument, argument) and lies_in(argument[::2], argument)
    for other in (whole[1:5], whole[3:7], whole[2:8:2], whole):
        assert not lies_in(other, argument)
