"""What compiling shows that need not be run, and what it does not show."""

from __future__ import annotations

from kernel_harness.tools.schema.evaluation import StaticCheck, StaticKernel
from kernel_harness.tools.tuning.pruning import pruned


def check(*kernels: StaticKernel) -> StaticCheck:
    return StaticCheck(status="built", kernels=list(kernels))


def kernel(target: str = "sm_90", spill: int = 0, occupancy: float | None = 0.5) -> StaticKernel:
    return StaticKernel(
        name="step",
        target=target,
        registers=64,
        shared_bytes=300_000,
        spill_bytes=spill,
        occupancy=occupancy,
        occupancy_limit="shared memory",
    )


def test_a_block_that_does_not_fit_is_left_out_with_its_limit():
    found = pruned({"a": check(kernel()), "b": check(kernel(occupancy=0.0))}, "sm_90a")
    assert found == {"b": "no block of step fits on sm_90: shared memory, 300000 B shared"}


def test_a_spill_is_left_out_where_another_variant_has_none():
    checks = {"a": check(kernel()), "b": check(kernel(), kernel(spill=512))}
    assert pruned(checks) == {"b": "spills 512 bytes a thread, where other variants do not"}


def test_where_all_spill_none_is_left_out():
    assert not pruned({"a": check(kernel(spill=128)), "b": check(kernel(spill=512))})


def test_a_few_spilled_bytes_and_a_low_occupancy_are_no_reason():
    assert not pruned({"a": check(kernel()), "b": check(kernel(spill=16, occupancy=0.06))})


def test_only_the_target_that_it_would_run_on_counts():
    both = {"a": check(kernel()), "b": check(kernel(), kernel("sm_100", occupancy=0.0))}
    assert not pruned(both, "sm_90")
    assert pruned(both, "sm_100")
    assert not pruned(both), "it fits on one of them"


def test_what_was_not_compiled_is_not_judged():
    assert not pruned({"a": check(kernel()), "b": None, "c": check()})
