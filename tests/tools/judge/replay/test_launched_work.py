"""Launches of a plan are those of ordinary calls, or it is said which are not."""

import pytest

from kernel_harness.tools.judge.replay.launched_work import (
    MOST_NAMES,
    OtherParameters,
    WatchedCall,
    of_any_build,
    other_launches,
    other_parameters,
    unseen_kernels,
)
from kernel_harness.tools.messages.launch_plan import (
    ARENA_BASE,
    RESERVATION_BASE,
    LaunchPlan,
    VariableAddress,
)
from kernel_harness.tools.messages.launches import Activity, PassedParameters, WatchedLaunches

from ...messages.plans import kernel, plan_of


def launched(name: str = "first", grid: int = 1, block: int = 32) -> Activity:
    return Activity(name=name, start_ns=0, end_ns=1, grid=[grid, 1, 1], block=[block, 1, 1])


COPY = Activity(name="memcpy 64 bytes", start_ns=0, end_ns=1)
PLAN = plan_of(b"cubin", nodes=[kernel(), kernel(function="second", grid=(4, 1, 1)), kernel()])[0]


def test_the_same_launches_in_another_order_agree_and_copies_do_not_count():
    found = [launched("second", 4), COPY, launched(), launched()]
    assert other_launches(PLAN, found) is None


def test_grids_and_blocks_are_those_of_the_plan():
    plan = plan_of(b"cubin", nodes=[kernel(grid=(2, 1, 1), block=(64, 1, 1))])[0]
    assert other_launches(plan, [launched(grid=2, block=64)]) is None
    for other in (launched(grid=2), launched(block=64)):
        assert "first" in (other_launches(plan, [other]) or "")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([launched("second", 4), launched()], "first with grid [1, 1, 1] 1 time fewer"),
        ([launched("second", 4), *[launched()] * 4], "first with grid [1, 1, 1] 2 times more"),
        ([launched("second", 2), launched(), launched()], "second with grid [2, 1, 1]"),
        ([launched("second", 4), launched(block=64), launched()], "first"),
        ([], "fewer often"),
    ],
)
def test_what_an_ordinary_call_launches_more_or_less_often_is_named(found, words):
    assert words in (other_launches(PLAN, found) or "")


def test_a_kernel_that_a_process_never_launched_is_named():
    assert unseen_kernels(PLAN, {"first", "second", "of another call"}) is None
    assert "second" in (unseen_kernels(PLAN, {"first"}) or "")


def test_nothing_is_said_of_a_process_that_launched_more_kernels_than_can_be_told():
    assert unseen_kernels(PLAN, {f"k{number}" for number in range(MOST_NAMES)}) is None


def test_a_files_own_kernel_has_one_name_in_all_builds():
    one = "_ZN57_GLOBAL__N__8b31a5c2_9_kernel_cu_6b5c7f28_123456k1Ef"
    two = "_ZN55_GLOBAL__N__01234567_9_kernel_cu_89abcdef_12346k1Ef"
    assert of_any_build(one) == of_any_build(two)
    assert of_any_build(one) != of_any_build(one.replace("k1E", "k2E"))
    assert of_any_build("_Z5firstPf") == "_Z5firstPf"


# --- parameters ---------------------------------------------------------------------------------

X, Y = ARENA_BASE + 4096, ARENA_BASE + (1 << 20)
RECORDED = (("in:x", X, X + 1024), ("out:y", Y, Y + 512))
MOVED = 7 * 256
SCRATCH, ELSEWHERE = RESERVATION_BASE + (1 << 20), RESERVATION_BASE + (5 << 20)
OWN = {"first": "candidate"}
POINTER, NUMBER = 8, 4


def packed(*values: tuple[int, int]) -> tuple[str, list[tuple[int, int]]]:
    """Values with their sizes, as a packed buffer in digits and its layout."""
    buffer, layout = b"", list[tuple[int, int]]()
    for value, size in values:
        buffer = buffer.ljust(-(-len(buffer) // min(size, 8)) * min(size, 8), b"\0")
        layout.append((len(buffer), size))
        buffer += value.to_bytes(size, "little")
    return buffer.hex(), layout


def recorded(*launches: tuple[tuple[int, int], ...], **changes) -> LaunchPlan:
    return plan_of(b"cubin", nodes=[kernel(parameters=packed(*v)[0]) for v in launches], **changes)[
        0
    ]


def ordinary(*launches: tuple[tuple[int, int], ...], moved: int = MOVED) -> WatchedCall:
    told = [
        PassedParameters(
            kernel="first", grid=[1, 1, 1], block=[32, 1, 1], parameters=data, layout=layout
        )
        for data, layout in (packed(*values) for values in launches)
    ]
    places = tuple((name, begin + moved, end + moved) for name, begin, end in RECORDED)
    return WatchedCall(WatchedLaunches(launches=told), places)


def found(plan: LaunchPlan, *calls: WatchedCall, origins=None) -> OtherParameters | None:
    return other_parameters(plan, RECORDED, calls, OWN if origins is None else origins)


PLANNED = (
    (X + 64, POINTER),
    (Y, POINTER),
    (SCRATCH, POINTER),
    (1000, NUMBER),
    (0x3F800000, NUMBER),
)
CALLED = (
    (X + 64 + MOVED, POINTER),
    (Y + MOVED, POINTER),
    (ELSEWHERE, POINTER),
    (1000, NUMBER),
    (0x3F800000, NUMBER),
)


def changed(number: int, value: int) -> tuple[tuple[int, int], ...]:
    values = list(CALLED)
    values[number] = (value, values[number][1])
    return tuple(values)


def test_tensors_that_moved_and_scratch_are_no_difference():
    assert found(recorded(PLANNED), ordinary(CALLED), ordinary(CALLED)) is None


def test_the_order_of_launches_is_no_difference():
    other = changed(3, 7)
    planned = ((X + 64, 8), (Y, 8), (SCRATCH, 8), (7, 4), (0x3F800000, 4))
    call = ordinary(CALLED, other)
    assert found(recorded(planned, PLANNED), call, call) is None


@pytest.mark.parametrize(
    ("number", "value", "words"),
    [
        (3, 500, "parameter 3 of first is 0x3e8 in the recorded call and 0x1f4 in ordinary ones"),
        (4, 0, "parameter 4"),
        (0, X + 128 + MOVED, "byte 64 of x in the recorded call and byte 128 of x"),
        (0, Y + MOVED, "byte 64 of x in the recorded call and byte 0 of y"),
        (1, ELSEWHERE, "byte 0 of y in the recorded call and an address in"),
        (2, 0, "an address in the recorded call and 0x0 in"),
    ],
)
def test_another_parameter_than_the_recorded_one_is_a_violation(number, value, words):
    call = ordinary(changed(number, value))
    difference = found(recorded(PLANNED), call, call)
    assert difference is not None and difference.certain and words in difference.words


def test_what_the_host_changes_from_call_to_call_is_no_violation():
    one, other = ordinary(changed(3, 1)), ordinary(changed(3, 2))
    difference = found(recorded(PLANNED), one, other)
    assert difference is not None and not difference.certain
    assert "differ from call to call" in difference.words


def test_a_structure_that_differs_is_no_violation_but_cannot_be_said_to_be_the_same():
    plan, call = recorded(((X, POINTER), (1 << 70, 16))), ordinary(((X + MOVED, 8), (2 << 70, 16)))
    difference = found(plan, call, call)
    assert difference is not None and not difference.certain
    assert "parameter 1 of first is a structure" in difference.words


def test_an_address_in_a_structure_is_a_place_of_its_tensor():
    tensor_map = X + 64 | 5 << 64
    moved = X + 64 + MOVED | 5 << 64
    call = ordinary(((moved, 128),))
    assert found(recorded(((tensor_map, 128),)), call, call) is None


def test_a_kernel_of_nobody_known_is_no_violation():
    call = ordinary(changed(3, 500))
    difference = found(recorded(PLANNED), call, call, origins={})
    assert difference is not None and not difference.certain
    same = ordinary(CALLED)
    assert found(recorded(PLANNED), same, same, origins={}) is None


def test_kernels_of_libraries_are_not_compared():
    assert found(recorded(PLANNED), ordinary(), ordinary(), origins={"first": "torch"}) is None


def test_memory_that_the_driver_placed_may_lie_anywhere():
    call = ordinary(changed(2, 0x7F12_3456_7000))
    assert found(recorded(PLANNED), call, call) is None


def test_the_address_of_a_modules_variable_may_be_any():
    place = VariableAddress(node=0, part="parameter", at=0, module=0, name="counter")
    call = ordinary(((0x7F12_3456_7000, POINTER), (3, NUMBER)))
    plan = recorded(((0, POINTER), (3, NUMBER)), variables=[place])
    assert found(plan, call, call) is None


def test_a_launch_that_was_not_seen_is_said():
    difference = found(recorded(PLANNED), ordinary(), ordinary())
    assert difference is not None and not difference.certain and "not seen" in difference.words


def test_a_process_that_does_not_tell_is_said():
    silent = WatchedCall(WatchedLaunches(dropped_for="the answer would be too long"), ())
    difference = found(recorded(PLANNED), silent, silent)
    assert difference is not None and not difference.certain and "too long" in difference.words
