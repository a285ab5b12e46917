"""Plans that no runner may be given are refused, each for its kind of fault."""

from typing import Any

import pytest

from kernel_harness.tools.judge.replay.validation import (
    CheckedPlan,
    PlanError,
    PlanFault,
    check_plan,
)
from kernel_harness.tools.messages.launch_plan import (
    ARENA_BASE,
    RESERVATION_BASE,
    ConstantCopy,
    DeviceCopy,
    LaunchPlan,
    Memset,
    VariableAddress,
)

from ...driver.fakes import make_cubin
from ...messages.plans import kernel, plan_of, plan_with_scratch

CUBIN = make_cubin(("first",), {"counter": 4})
ARENA = [(ARENA_BASE, ARENA_BASE + (1 << 20))]


def check(said: Any, file: bytes, **changes: Any) -> CheckedPlan:
    terms: dict[str, Any] = {"architecture": "sm_90", "arena": ARENA, "scratch_bytes": 1 << 20}
    return check_plan(said, file, **(terms | changes))


def test_a_plan_as_plain_data_is_accepted_with_its_blobs():
    plan, file = plan_with_scratch(CUBIN)
    checked = check(plan.model_dump(), file)
    assert checked.plan == plan
    assert checked.blobs == (CUBIN, b"\x01" * 512, b"\x07\0\0\0")


def memset(address: int, **changes: Any) -> Memset:
    said = {"address": address, "value": 0, "element_bytes": 4, "width": 16} | changes
    return Memset.model_validate(said)


def refused(name: str) -> tuple[LaunchPlan | Any, bytes, PlanFault, dict[str, Any]]:
    plan, file = plan_with_scratch(CUBIN)
    end = ARENA[0][1]
    match name:
        case "no plan":
            return {"nodes": "all"}, file, PlanFault.FORM, {}
        case "another file":
            return plan, file[:-1], PlanFault.BLOBS, {}
        case "another device":
            return plan, file, PlanFault.MODULE, {"architecture": "sm_100"}
        case "source instead of a cubin":
            return *plan_of(b".version 8.0\n.target sm_90" + b" " * 64), PlanFault.MODULE, {}
        case "no such kernel":
            return *plan_of(CUBIN, nodes=[kernel(function="second")]), PlanFault.MODULE, {}
        case "no such variable":
            return *plan_with_scratch(make_cubin(("first",), {"counter": 8})), PlanFault.MODULE, {}
        case "too much scratch":
            return plan, file, PlanFault.MEMORY, {"scratch_bytes": 1023}
        case "a memset beyond the arena":
            return *plan_of(CUBIN, nodes=[memset(end - 32)]), PlanFault.MEMORY, {}
        case "a memset of the driver's memory":
            return *plan_of(CUBIN, nodes=[memset(0x7F0000000000)]), PlanFault.MEMORY, {}
        case "rows that leave the arena":
            rows = memset(ARENA_BASE, height=3, pitch=1 << 19)
            return *plan_of(CUBIN, nodes=[rows]), PlanFault.MEMORY, {}
        case "a copy out of scratch that is not there":
            copy = DeviceCopy(source=RESERVATION_BASE, destination=ARENA_BASE, width_bytes=8)
            return *plan_of(CUBIN, nodes=[copy]), PlanFault.MEMORY, {}
    raise AssertionError(name)


@pytest.mark.parametrize(
    "name",
    [
        "no plan",
        "another file",
        "another device",
        "source instead of a cubin",
        "no such kernel",
        "no such variable",
        "too much scratch",
        "a memset beyond the arena",
        "a memset of the driver's memory",
        "rows that leave the arena",
        "a copy out of scratch that is not there",
    ],
)
def test_a_plan_is_refused_for_its_fault(name):
    said, file, fault, terms = refused(name)
    with pytest.raises(PlanError) as caught:
        check(said, file, **terms)
    assert caught.value.fault is fault
    assert caught.value.words


@pytest.mark.parametrize("call", ["__cuda_syscall_cnpv2LaunchDeviceV2", "cudaGraphLaunch"])
def test_a_module_that_launches_from_the_device_is_refused_in_words(call):
    launching = make_cubin(calls=(call,))
    with pytest.raises(PlanError, match="launches kernels from the device"):
        check(*plan_of(launching))
    check(*plan_of(make_cubin(calls=("vprintf",))))


def test_bytes_of_the_host_are_copied_into_the_calls_own_memory_alone():
    constant = ConstantCopy(destination=ARENA[0][1] - 4, content=0)
    with pytest.raises(PlanError, match="touches"):
        check(*plan_of(CUBIN, (b"12345",), nodes=[constant]))
    check(*plan_of(CUBIN, (b"1234",), nodes=[constant]))


@pytest.mark.parametrize(
    "arena", [(ARENA_BASE - 4096, ARENA_BASE + 4096), (ARENA_BASE + 4096, ARENA_BASE)]
)
def test_an_arena_that_the_judge_cannot_have_is_its_own_error(arena):
    """Memory below it is the plan's own: what lies there would pass for the judge's."""
    plan, file = plan_with_scratch(CUBIN)
    with pytest.raises(ValueError, match="part for shared memory"):
        check(plan, file, arena=[arena])


def test_memsets_and_copies_of_the_calls_own_memory_are_accepted():
    nodes = [
        memset(ARENA_BASE),
        memset(RESERVATION_BASE),
        DeviceCopy(source=RESERVATION_BASE + 4096, destination=ARENA_BASE, width_bytes=512),
        ConstantCopy(destination=ARENA[0][1] - 512, content=0),
    ]
    plan, file = plan_with_scratch(CUBIN)
    check(plan.model_copy(update={"nodes": nodes}), file)


def in_counter(offset: int = 0, **changes: Any) -> VariableAddress:
    said = {"node": 0, "part": "destination", "module": 0, "name": "counter", "offset": offset}
    return VariableAddress.model_validate(said | changes)


@pytest.mark.parametrize(
    ("nbytes", "variable", "fault"),
    [
        (4, in_counter(), None),
        (2, in_counter(2), None),
        (4, in_counter(1), PlanFault.MEMORY),
        (8, in_counter(), PlanFault.MEMORY),
        (4, in_counter(name="other"), PlanFault.MODULE),
        (1, in_counter(5), PlanFault.MODULE),
    ],
)
def test_a_copy_to_a_variable_stays_inside_it(nbytes, variable, fault):
    copy = DeviceCopy(source=ARENA_BASE, destination=0, width_bytes=nbytes)
    plan, file = plan_of(CUBIN, nodes=[copy, kernel()], variables=[variable])
    if fault is None:
        assert check(plan.model_dump(), file).plan.variables == [variable]
        return
    with pytest.raises(PlanError) as caught:
        check(plan, file)
    assert caught.value.fault is fault


def test_a_copy_without_the_name_of_its_variable_is_refused():
    copy = DeviceCopy(source=ARENA_BASE, destination=0, width_bytes=4)
    with pytest.raises(PlanError, match="not the call's"):
        check(*plan_of(CUBIN, nodes=[copy, kernel()]))
