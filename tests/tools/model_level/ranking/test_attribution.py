"""Each microsecond of a profile goes to one operator, and to every block around it."""

from __future__ import annotations

import pytest

from kernel_harness.tools.model_level.ranking.attribution import MARK, ProfiledEvent, attribute


def region(number: int, parent: int | None, host_us: float = 1.0) -> ProfiledEvent:
    return ProfiledEvent(f"{MARK}{number}.0", parent, host_us)


def op(name: str, parent: int | None, host_us: float, **more) -> ProfiledEvent:
    return ProfiledEvent(f"aten::{name}", parent, host_us, **more)


MODEL, LAYER, NORM, HELPER, ROTATE = range(5)
MODULES = {MODEL: True, LAYER: True, NORM: True, HELPER: False, ROTATE: False}
EVENTS = [
    region(MODEL, None),
    region(LAYER, 0),
    region(NORM, 1),
    region(HELPER, 2),
    op("mul", 3, 30.0, flops=7),
    region(ROTATE, 1),
    region(HELPER, 5),
    op("cat", 6, 20.0),
    op("softmax", 1, 5.0, shapes="[[2, 4]]"),
    op("_softmax", 8, 10.0),
    op("add", 0, 3.0),
]


def test_an_operator_is_the_largest_region_without_a_module_in_it():
    found = attribute(EVENTS, MODULES)
    assert {key[0]: spent.time_us for key, spent in found.regions.items()} == {
        NORM: 30.0,
        ROTATE: 20.0,
    }
    assert found.regions[NORM, 0].flops == 7
    assert found.regions[NORM, 0].host_us == 32.0
    others = {key: (spent.calls, spent.time_us) for key, spent in found.others.items()}
    assert others == {
        (LAYER, "aten::softmax", "[[2, 4]]"): (1, 15.0),
        (MODEL, "aten::add", ""): (1, 3.0),
    }
    assert {key[0]: spent.time_us for key, spent in found.blocks.items()} == {
        MODEL: 68.0,
        LAYER: 65.0,
    }


def test_time_is_the_kernels_where_there_is_a_device():
    events = [
        region(MODEL, None),
        region(NORM, 0),
        ProfiledEvent("aten::mul", 1, 50.0, device_us=4.0, launches=2),
    ]
    # A kernel of Triton's is launched by no operator of torch's, so the region itself has it.
    events[1] = ProfiledEvent(f"{MARK}{NORM}.0", 0, 9.0, device_us=3.0, launches=1)
    spent = attribute(events, MODULES).regions[NORM, 0]
    assert (spent.time_us, spent.launches, spent.host_us) == (7.0, 3, 59.0)


def test_functions_that_call_no_other_are_the_operators_of_a_program_without_modules():
    events = [
        region(HELPER, None),
        region(ROTATE, 0),
        region(5, 1),
        op("cat", 2, 20.0),
        op("add", 1, 1.0),
    ]
    found = attribute(events, {HELPER: False, ROTATE: False, 5: False})
    assert {key[0]: spent.time_us for key, spent in found.regions.items()} == {5: 20.0}
    assert list(found.others) == [(ROTATE, "aten::add", "")]


def test_a_block_within_another_of_its_kind_counts_once():
    events = [region(MODEL, None), region(LAYER, 0), region(LAYER, 1), region(NORM, 2)]
    events.append(op("mul", 3, 8.0))
    found = attribute(events, MODULES)
    assert found.blocks[LAYER, 0].time_us == 8.0
    assert found.blocks[LAYER, 0].calls == 2


def test_what_only_a_part_is_read_of_is_noted():
    events = [region(MODEL, None), region(NORM, 0), op("embedding", 1, 1.0)]
    assert attribute(events, MODULES).regions[NORM, 0].gathers


@pytest.mark.parametrize("events", [[], [op("add", None, 2.0)]])
def test_a_profile_without_regions_is_one_of_torch_alone(events):
    found = attribute(events, {})
    assert not found.regions and sum(s.time_us for s in found.others.values()) == 2.0 * len(events)
