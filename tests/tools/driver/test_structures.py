"""Structures have the sizes and places that cuda.h of 13.0 gives them on x86-64."""

import ctypes

import pytest

from kernel_harness.tools.driver import structures as s

SIZES = {
    s.KernelNodeParams: 72,
    s.MemsetNodeParams: 40,
    s.Copy3D: 200,
    s.MemAllocNodeParams: 120,
    s.LaunchConfig: 56,
    s.LaunchAttribute: 72,
    s.MemAllocationProp: 32,
    s.MemAccessDesc: 12,
    s.GraphEdgeData: 8,
}


@pytest.mark.parametrize(("structure", "size"), SIZES.items())
def test_sizes_are_those_of_the_header(structure, size):
    assert ctypes.sizeof(structure) == size


def test_places_are_those_of_the_header():
    assert s.KernelNodeParams.parameters.offset == 40
    assert s.KernelNodeParams.kernel.offset == 56
    assert s.LaunchConfig.stream.offset == 32
    assert s.LaunchConfig.attributes.offset == 40
    assert s.Copy3D.destination.offset + s.CopySide.memory_type.offset == 120
    assert s.Copy3D.width_bytes.offset == 176
    assert s.MemAllocNodeParams.nbytes.offset == 104
    assert s.LaunchAttribute.value.offset == 8
