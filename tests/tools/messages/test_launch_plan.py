"""Launch plans keep to their limits, hold together, and survive the wire."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kernel_harness.tools.messages import launch_plan as lp
from kernel_harness.tools.messages.launch_plan import (
    Blob,
    ConstantCopy,
    DeviceCopy,
    Edge,
    GlobalImage,
    LaunchPlan,
    MemoryRegion,
    Memset,
    VariableAddress,
    blob_of,
    split_blobs,
    with_address,
)
from tests.folding import for_each

from .plans import kernel, plan_of, plan_with_scratch

extents = st.tuples(st.integers(1, 1000), st.integers(1, 100), st.integers(1, 64))
kernels = st.builds(
    kernel,
    grid=extents,
    block=st.tuples(st.integers(1, 32), st.integers(1, 8), st.integers(1, 4)),
    shared_bytes=st.integers(0, lp.MOST_SHARED_BYTES),
    cooperative=st.booleans(),
    parameters=st.binary(max_size=400).map(bytes.hex),
)
addresses = st.integers(lp.RESERVATION_BASE, lp.RESERVATION_BASE + (1 << 38))
memsets = st.builds(
    Memset,
    address=addresses,
    value=st.integers(0, (1 << 32) - 1),
    element_bytes=st.sampled_from([1, 2, 4]),
    width=st.integers(1, 1 << 20),
)
copies = st.builds(
    DeviceCopy, source=addresses, destination=addresses, width_bytes=st.integers(1, 1 << 20)
)


@st.composite
def plans(draw: st.DrawFn) -> LaunchPlan:
    nodes = draw(st.lists(kernels | memsets | copies, min_size=1, max_size=12))
    pairs = draw(st.sets(st.tuples(st.integers(0, 11), st.integers(0, 11)).map(sorted).map(tuple)))
    edges = [Edge(before=a, after=b) for a, b in sorted(pairs) if a < b < len(nodes)]
    return plan_of(b"cubin", nodes=nodes, edges=edges)[0]


@given(plans())
def test_a_plan_survives_the_wire(plan):
    assert LaunchPlan.model_validate(json.loads(plan.model_dump_json())) == plan


@given(st.binary(max_size=200))
def test_parameters_are_bytes_again(parameters):
    assert kernel(parameters=parameters.hex()).parameter_bytes == parameters


REFUSED: dict[str, dict[str, Any]] = {
    "a module that is none": {"nodes": [kernel(module=1)]},
    "a constant that is none": {"nodes": [ConstantCopy(destination=lp.ARENA_BASE, content=0)]},
    "a constant larger than a command takes along": {
        "nodes": [ConstantCopy(destination=lp.ARENA_BASE, content=0)],
        "contents": [Blob(digest="0" * 64, nbytes=lp.MOST_CONSTANT_BYTES + 1)],
    },
    "an edge backwards": {
        "nodes": [kernel(), kernel()],
        "edges": [{"before": 1, "after": 0}],
    },
    "an edge to itself": {"edges": [{"before": 0, "after": 0}]},
    "an edge twice": {
        "nodes": [kernel(), kernel()],
        "edges": [{"before": 0, "after": 1}] * 2,
    },
    "a programmatic edge to a memset": {
        "nodes": [
            kernel(),
            Memset(address=lp.RESERVATION_BASE, value=0, element_bytes=1, width=1),
        ],
        "edges": [{"before": 0, "after": 1, "programmatic": True}],
    },
    "a region below the reservation": {
        "regions": [MemoryRegion(address=lp.RESERVATION_BASE - 512, nbytes=512)]
    },
    "a region in the shared part": {"regions": [MemoryRegion(address=lp.ARENA_BASE, nbytes=512)]},
    "regions on each other": {
        "regions": [
            MemoryRegion(address=lp.RESERVATION_BASE, nbytes=512),
            MemoryRegion(address=lp.RESERVATION_BASE + 256, nbytes=512),
        ]
    },
    "a content that is none": {
        "regions": [MemoryRegion(address=lp.RESERVATION_BASE, nbytes=512, content=3)]
    },
    "a content of another size": {
        "contents": [blob_of(b"short")],
        "regions": [MemoryRegion(address=lp.RESERVATION_BASE, nbytes=512, content=0)],
    },
    "a variable of no module": {
        "contents": [blob_of(b"1234")],
        "globals": [GlobalImage(module=1, name="counter", content=0)],
    },
    "an address in a variable of no module": {
        "variables": [VariableAddress(node=0, part="parameter", module=1, name="counter")]
    },
    "an address of no node": {
        "variables": [VariableAddress(node=1, part="parameter", module=0, name="counter")]
    },
    "an address behind a kernel's parameters": {
        "nodes": [kernel(parameters="00" * 12)],
        "variables": [VariableAddress(node=0, part="parameter", at=8, module=0, name="counter")],
    },
    "an address that a kernel does not have": {
        "variables": [VariableAddress(node=0, part="destination", module=0, name="counter")]
    },
    "an address in place of another": {
        "nodes": [kernel(parameters="01" + "00" * 7)],
        "variables": [VariableAddress(node=0, part="parameter", module=0, name="counter")],
    },
    "an address in two variables": {
        "nodes": [kernel(parameters="00" * 8)],
        "variables": [
            VariableAddress(node=0, part="parameter", module=0, name=name) for name in ("a", "b")
        ],
    },
    "too much content": {
        "contents": [{"digest": "0" * 64, "nbytes": lp.MOST_CONTENT_BYTES}] * 2,
    },
    "nothing launched": {"nodes": []},
    "too many launches": {"nodes": [kernel()] * (lp.MOST_NODES + 1)},
    "an architecture of words": {"architecture": "hopper"},
    "another version": {"version": 2},
    "a field that is none": {"host_code": "…"},
}


@for_each("name", REFUSED)
def test_a_plan_that_does_not_hold_together_is_refused(name):
    with pytest.raises(ValidationError):
        plan_of(b"cubin", **REFUSED[name])


@pytest.mark.parametrize(
    "changes",
    [
        {"block": (1024, 2, 1)},
        {"grid": (1, 65_536, 1)},
        {"grid": (3, 1, 1), "cluster": (2, 1, 1)},
        {"grid": (32, 1, 1), "cluster": (32, 1, 1)},
        {"parameters": "abc"},
        {"parameters": "00" * (lp.MOST_PARAMETER_BYTES + 1)},
        {"function": "with a\nline"},
        {"shared_bytes": lp.MOST_SHARED_BYTES + 1},
    ],
)
def test_a_launch_that_no_device_takes_is_refused(changes):
    with pytest.raises(ValidationError):
        kernel(**changes)


def test_the_file_is_cut_into_the_blobs_that_the_plan_names():
    plan, file = plan_with_scratch(b"cubin")
    assert split_blobs(plan.blobs, file) == [b"cubin", b"\x01" * 512, b"\x07\0\0\0"]


@pytest.mark.parametrize("change", [b"x", None])
def test_a_file_that_is_not_the_plans_is_refused(change):
    plan, file = plan_with_scratch(b"cubin")
    with pytest.raises(ValueError, match=r"file beside|digest"):
        split_blobs(plan.blobs, file + change if change else b"C" + file[1:])


@pytest.mark.parametrize(
    ("node", "part", "at"),
    [
        (kernel(parameters="11" * 8 + "00" * 8), "parameter", 8),
        (Memset(address=0, value=0, element_bytes=1, width=1), "address", 0),
        (DeviceCopy(source=0, destination=lp.ARENA_BASE, width_bytes=1), "source", 0),
        (DeviceCopy(source=lp.ARENA_BASE, destination=0, width_bytes=1), "destination", 0),
    ],
)
def test_an_address_in_a_variable_takes_the_place_that_is_kept_for_it(node, part, at):
    variable = VariableAddress(node=0, part=part, at=at, module=0, name="counter")
    plan = plan_of(b"cubin", nodes=[node], variables=[variable])[0]
    located = with_address(plan.nodes[0], variable, 0x7F12_3456_7000)
    assert lp.held_address(located, variable) == 0x7F12_3456_7000
    assert with_address(located, variable, 0) == node
