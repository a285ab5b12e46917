"""Captured graphs become plans, or say why they cannot."""

import ctypes
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.candidate.recording.driver_memory import (
    DriverMemory,
    PlacedMemory,
    placed,
)
from kernel_harness.tools.candidate.recording.plan_builder import (
    GlobalContent,
    RegionContent,
    build_plan,
    in_topological_order,
    without_empty,
)
from kernel_harness.tools.candidate.recording.recorder import host_bytes
from kernel_harness.tools.candidate.recording.replayable import (
    NotReplayableError,
    require_own_data,
    words_of,
)
from kernel_harness.tools.candidate.recording.variables import ModuleVariable
from kernel_harness.tools.driver.graphs import (
    OTHER_NODES,
    AllocationNode,
    CapturedGraph,
    CopyNode,
    KernelNode,
    MemsetNode,
    Node,
    OtherNode,
)
from kernel_harness.tools.driver.module_variables import VariablePlace
from kernel_harness.tools.driver.modules import LaunchShape
from kernel_harness.tools.messages.launch_plan import (
    ARENA_BASE,
    RESERVATION_BASE,
    ConstantCopy,
    DeviceCopy,
    KernelLaunch,
    Memset,
)

INSIDE = RESERVATION_BASE + 512
OUTSIDE = 0x7F12_3456_7000
CUBINS = {1: b"one", 2: b"two"}


def kernel(*values: int, function: int = 1, name: str = "first") -> KernelNode:
    packed = b"".join(value.to_bytes(8, "little") for value in values)
    layout = tuple((8 * i, 8) for i in range(len(values)))
    shape = LaunchShape((1, 1, 1), (32, 1, 1))
    return KernelNode(function, 9, name, shape, packed, layout)


HOST = {0x5555: b"constant"}


VARIABLES = (
    ModuleVariable(b"one", VariablePlace("weights", OUTSIDE, 256)),
    ModuleVariable(b"two", VariablePlace("counter", OUTSIDE + 0x1000, 4)),
)


def build(
    *nodes: Node,
    edges: tuple = (),
    regions: tuple = (),
    written: tuple = (),
    variables: tuple[ModuleVariable, ...] = (),
    memory: str = "device",
    places: Sequence[PlacedMemory] = (),
):
    return build_plan(
        CapturedGraph(nodes, edges),
        CUBINS,
        architecture="sm_90",
        regions=regions,
        globals_of_modules=written,
        variables=variables,
        memory_type=lambda address: memory if address >= 0x7F00_0000_0000 else None,
        host_bytes=lambda address, nbytes: HOST.get(address, b"")[:nbytes] or None,
        places=places,
    )


def test_a_launch_keeps_its_parameters_and_its_module_is_carried_once():
    built = build(kernel(INSIDE, 5), kernel(ARENA_BASE), kernel(function=2, name="other"))
    assert [k.module for k in built.plan.kernels] == [0, 0, 1]
    assert built.plan.kernels[0].parameter_bytes == kernel(INSIDE, 5).parameters
    assert built.blobs == (b"one", b"two")


def test_a_pointer_that_only_this_process_has_is_refused_by_name():
    with pytest.raises(NotReplayableError, match="parameter 1 of first points to device memory"):
        build(kernel(INSIDE, OUTSIDE))


def test_memory_that_the_driver_placed_becomes_a_region_of_the_plan():
    places = placed([DriverMemory(OUTSIDE, 8, b"workspce"), DriverMemory(OUTSIDE + 4096, 64, None)])
    built = build(
        AllocationNode(OUTSIDE + 4096, 64),
        kernel(OUTSIDE + 4, OUTSIDE + 4096),
        MemsetNode(OUTSIDE + 4096, 0, 4, 8, 1, 0),
        edges=((0, 1, False), (1, 2, False)),
        places=places,
    )
    kept, made = (place.address for place in places)
    assert built.plan.kernels[0].parameter_bytes == kernel(kept + 4, made).parameters
    regions = {r.address: (r.nbytes, r.content) for r in built.plan.regions}
    assert regions == {kept: (8, 0), made: (64, None)}
    assert isinstance(built.plan.nodes[1], Memset) and built.plan.nodes[1].address == made
    assert built.blobs == (b"one", b"workspce")


def test_an_address_of_the_drivers_in_memory_is_refused():
    places = placed([DriverMemory(OUTSIDE, 8, b"anything")])
    pointers = RegionContent(INSIDE, 8, OUTSIDE.to_bytes(8, "little"))
    with pytest.raises(NotReplayableError, match=f"memory of the call holds {OUTSIDE:#x}"):
        build(kernel(OUTSIDE), regions=(pointers,), places=places)


def test_a_texture_is_refused_where_it_is_passed():
    graph = CapturedGraph((kernel(INSIDE, 3), kernel(4)), ())
    require_own_data(graph, (), {5: "a texture"})
    with pytest.raises(NotReplayableError, match="parameter 1 of first is a texture"):
        require_own_data(graph, (), {3: "a texture"})


def test_torchs_random_state_is_refused_where_it_is_read():
    graph = CapturedGraph((kernel(5, INSIDE),), ())
    require_own_data(graph, {INSIDE + 512}, {})
    with pytest.raises(NotReplayableError, match="first reads torch's random state"):
        require_own_data(graph, {INSIDE}, {})


@pytest.mark.parametrize("kind", ["host", "unified", "array", "managed"])
def test_memory_of_the_host_or_of_both_is_refused_by_its_kind(kind):
    with pytest.raises(NotReplayableError, match=f"points to {kind} memory"):
        build(kernel(OUTSIDE), memory=kind)


@pytest.mark.parametrize("number", OTHER_NODES)
def test_what_is_no_launch_copy_or_memset_is_refused_in_words(number):
    with pytest.raises(NotReplayableError, match=OTHER_NODES[number]):
        build(kernel(), OtherNode(OTHER_NODES[number]))


def test_a_number_that_looks_like_an_address_is_no_pointer():
    assert build(kernel(0x3F80_0000_3F80)).plan.nodes


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (OtherNode("a host function"), "a host function"),
        (MemsetNode(OUTSIDE, 0, 4, 8, 1, 0), "a memset writes"),
        (CopyNode(OUTSIDE, "host", 8, INSIDE, "device", 8, 8, 1, 1), "a copy reads host memory"),
        (CopyNode(0x6666, "host", 8, INSIDE, "device", 8, 8, 1, 1), "has given back"),
        (CopyNode(0x5555, "host", 8, INSIDE, "device", 8, 1 << 17, 1, 1), "can be carried"),
        (CopyNode(0x5555, "host", 8, INSIDE, "device", 8, 4, 2, 1), "can be carried"),
        (CopyNode(INSIDE, "device", 8, 0x5555, "host", 8, 8, 1, 1), "a copy writes host memory"),
        (CopyNode(INSIDE, "device", 8, OUTSIDE, "device", 8, 8, 1, 1), "a copy writes device"),
        (CopyNode(INSIDE, "device", 8, INSIDE, "device", 8, 8, 2, 2), "three dimensions"),
    ],
)
def test_what_cannot_be_replayed_is_named(node, words):
    with pytest.raises(NotReplayableError, match=words):
        build(kernel(), node)


def test_a_call_that_launches_nothing_is_no_plan():
    with pytest.raises(NotReplayableError, match="launches nothing"):
        build(OtherNode(""))


def test_scratch_and_variables_are_carried_beside_the_plan():
    built = build(
        kernel(),
        regions=(RegionContent(INSIDE, 4, b"abcd"), RegionContent(INSIDE + 512, 4, None)),
        written=(GlobalContent(b"one", "counter", b"abcd"),),
    )
    assert [r.content for r in built.plan.regions] == [0, None]
    assert built.plan.globals[0].content == 0
    assert built.blobs == (b"one", b"abcd")


def test_waits_through_a_node_that_does_nothing_are_kept():
    graph = CapturedGraph((kernel(), OtherNode(""), kernel()), ((0, 1, False), (1, 2, False)))
    assert without_empty(graph).edges == ((0, 1, False),)


def test_launches_that_wait_for_each_other_are_refused():
    with pytest.raises(NotReplayableError, match="circle"):
        in_topological_order(2, [(0, 1, False), (1, 0, False)])


PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30)


@given(PAIRS, st.permutations(range(10)))
def test_every_node_comes_after_what_it_waits_for(pairs, names):
    edges = [(names[a], names[b], False) for a, b in pairs if a < b]
    order = in_topological_order(10, edges)
    assert sorted(order) == list(range(10))
    assert all(order.index(a) < order.index(b) for a, b, _ in edges)


@given(st.binary(min_size=8, max_size=64), st.integers(0, 7))
def test_every_aligned_word_of_a_parameter_is_looked_at(data, offset):
    parameters = b"\0" * offset + data
    found = words_of(parameters, [(offset, len(data))])
    aligned = range(8 * bool(offset), len(parameters) - 7, 8)
    values = [int.from_bytes(parameters[at : at + 8], "little") for at in aligned]
    assert [v for _, v in found] == [v for v in values if 1 << 32 <= v < 1 << 57]


def test_a_small_copy_from_pageable_memory_carries_its_bytes_and_no_address():
    copied = CopyNode(0x5555, "host", 0, INSIDE, "device", 0, 8, 1, 1)
    region = RegionContent(INSIDE, 512, b"\0" * 512)
    built = build(copied, kernel(INSIDE), regions=(region,))
    node = built.plan.nodes[0]
    assert isinstance(node, ConstantCopy) and node.destination == INSIDE
    contents = built.blobs[len(built.plan.modules) :]
    assert contents[node.content] == b"constant"
    assert contents[built.plan.regions[0].content or 0] == b"\0" * 512


def test_host_memory_is_read_where_there_is_some_and_missed_where_there_is_none():
    held = ctypes.create_string_buffer(b"0123456789abcdef", 16)
    assert host_bytes(ctypes.addressof(held), 16) == b"0123456789abcdef"
    for nowhere in (0, 0x10, 1 << 56):
        assert host_bytes(nowhere, 16) is None


def test_copies_to_and_from_variables_of_modules_carry_their_names():
    built = build(
        CopyNode(INSIDE, "device", 8, OUTSIDE + 64, "device", 8, 128, 1, 1),
        CopyNode(OUTSIDE + 0x1000, "unified", 8, INSIDE, "device", 8, 4, 1, 1),
        CopyNode(0x5555, "host", 0, OUTSIDE, "device", 0, 8, 1, 1),
        MemsetNode(OUTSIDE + 0x1000, 0, 4, 1, 1, 0),
        kernel(),
        kernel(function=2, name="other"),
        variables=VARIABLES,
    )
    one, two = built.blobs[:2]
    assert (one, two) == (b"one", b"two")
    assert [(v.node, v.part, v.module, v.name, v.offset) for v in built.plan.variables] == [
        (0, "destination", 0, "weights", 64),
        (1, "source", 1, "counter", 0),
        (2, "destination", 0, "weights", 0),
        (3, "address", 1, "counter", 0),
    ]
    to, of, constant, memset = built.plan.nodes[:4]
    assert isinstance(to, DeviceCopy) and (to.source, to.destination) == (INSIDE, 0)
    assert isinstance(of, DeviceCopy) and (of.source, of.destination) == (0, INSIDE)
    assert isinstance(constant, ConstantCopy) and constant.destination == 0
    assert isinstance(memset, Memset) and memset.address == 0


def test_a_parameter_that_points_into_a_variable_carries_its_name():
    built = build(kernel(INSIDE, OUTSIDE + 8), variables=VARIABLES)
    (found,) = built.plan.variables
    assert (found.part, found.at, found.name, found.offset) == ("parameter", 8, "weights", 8)
    (launch,) = built.plan.nodes
    assert isinstance(launch, KernelLaunch)
    assert launch.parameter_bytes == kernel(INSIDE, 0).parameters


def test_what_lies_behind_a_variable_is_no_part_of_it():
    with pytest.raises(NotReplayableError, match="a memset writes"):
        build(kernel(), MemsetNode(OUTSIDE + 256, 0, 4, 1, 1, 0), variables=VARIABLES)
