"""Host functions of CUDA sources are called against a stub that launches nothing."""

from __future__ import annotations

from kernel_harness.tools.candidate.compile_only.host_call import HostCall, _read_report


def report(*lines: str) -> HostCall | None:
    return _read_report("\n".join([*lines, "end"]))


def test_a_report_says_what_would_be_launched_and_what_not():
    launched = [f"launched\tone\t{grid} 1 1\t256 1 1\t0\t" for grid in (4, 8, 4)]
    call = report("kernel\tone", "kernel\ttwo", *launched, "error\t")
    assert call is not None and call.fault({}) is None and call.notes() == []
    assert call.kernels == ["one", "two"] and call.grids == {"one": [[4, 1, 1], [8, 1, 1]]}


def test_a_launch_that_a_device_refuses_is_a_fault_by_the_kernel_s_own_name():
    call = report("kernel\t_Z1k", "launched\t_Z1k\t0 1 1\t256 1 1\t0\tits grid is empty", "error\t")
    fault = call.fault({"_Z1k": "k()"}) if call else None
    assert fault is not None and fault.kind == "launch"
    assert fault.message == (
        "k() is launched on a grid of 0x1x1 blocks of 256x1x1 threads: its grid is empty"
    )


def test_only_an_argument_s_type_is_held_against_what_raises():
    typed = report("error\tRuntimeError: expected scalar type Float but found BFloat16")
    fault = typed.fault({}) if typed else None
    assert fault is not None and fault.kind == "signature"
    other = report("error\tRuntimeError: no such tile")
    assert other is not None and other.fault({}) is None
    assert "no such tile" in other.notes()[0]


def test_a_report_that_was_cut_short_says_nothing():
    assert _read_report("kernel\tone\n") is None and _read_report("") is None
