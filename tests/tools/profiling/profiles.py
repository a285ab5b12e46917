"""Profiles of known character and recorded calls, built by hand for the tests of profiling."""

from __future__ import annotations

from pathlib import Path

from kernel_harness.tools.messages.launch_plan import ARENA_BASE
from kernel_harness.tools.messages.profiler import PlacedBytes, ReplayRun, write_message
from kernel_harness.tools.profiling.diagnosis.kernel_profile import KernelProfile, Stall

from ..driver.fakes import make_cubin
from ..messages.plans import kernel, plan_of


def stalled(**shares: float) -> list[Stall]:
    """Stalls with the given shares; cycles follow at ten cycles an instruction."""
    return [
        Stall(reason=reason, cycles=10 * share, share=share)
        for reason, share in sorted(shares.items(), key=lambda item: -item[1])
    ]


def profile(**changes) -> KernelProfile:
    """An unremarkable kernel: a full grid, moderate use of everything."""
    values = {
        "name": "kernel",
        "duration_us": 50.0,
        "grid": [1056, 1, 1],
        "block": [256, 1, 1],
        "waves": 1.0,
        "sm_count": 132,
        "registers": 40,
        "shared_bytes": 0,
        "occupancy_theoretical_percent": 75.0,
        "occupancy_achieved_percent": 65.0,
        "occupancy_limit": "registers",
        "compute_percent": 30.0,
        "memory_percent": 30.0,
        "dram_percent": 20.0,
        "l2_percent": 25.0,
        "l1_percent": 30.0,
        "tensor_percent": 0.0,
        "fma_percent": 15.0,
        "issue_percent": 30.0,
        "sm_active_percent": 96.0,
        "sm_imbalance": 1.03,
        "instructions": 1e6,
        "local_instructions": 0.0,
        "spill_requests": 0.0,
        "bank_conflict_percent": 0.0,
        "sector_efficiency_percent": 100.0,
        "warps_active": 10.0,
        "warps_eligible": 1.0,
        "stalls": stalled(wait=0.2, long_scoreboard=0.2),
    }
    return KernelProfile(**(values | changes))


def recorded_call(folder: Path, number: int, launches: int = 1) -> Path:
    """A call as the judge records it; its cubin has no code."""
    plan, blobs = plan_of(make_cubin(), nodes=[kernel()] * launches)
    (folder / f"call-{number}.blobs").write_bytes(blobs)
    (folder / f"call-{number}.inputs").write_bytes(b"inputs")
    run = ReplayRun(
        device_index=0,
        plan=plan,
        blobs_file=f"call-{number}.blobs",
        arena_bytes=1 << 20,
        inputs=[PlacedBytes(address=ARENA_BASE, nbytes=6)],
        inputs_file=f"call-{number}.inputs",
        outputs=[],
        answer_file=f"call-{number}.answer.json",
    )
    write_message(run, folder / f"call-{number}.json")
    return folder / f"call-{number}.json"
