"""Launch plans for tests."""

from __future__ import annotations

from typing import Any

from kernel_harness.tools.messages.launch_plan import (
    RESERVATION_BASE,
    GlobalImage,
    KernelLaunch,
    LaunchPlan,
    MemoryRegion,
    blob_of,
)


def kernel(**changes: Any) -> KernelLaunch:
    said: dict[str, Any] = {"module": 0, "function": "first", "grid": (1, 1, 1)}
    return KernelLaunch.model_validate(said | {"block": (32, 1, 1)} | changes)


def plan_of(
    cubin: bytes, carried: tuple[bytes, ...] = (), **changes: Any
) -> tuple[LaunchPlan, bytes]:
    """A plan of one launch and the file beside it."""
    said: dict[str, Any] = {
        "architecture": "sm_90",
        "modules": [blob_of(cubin)],
        "contents": [blob_of(c) for c in carried],
        "nodes": [kernel()],
    }
    return LaunchPlan.model_validate(said | changes), cubin + b"".join(carried)


def plan_with_scratch(cubin: bytes) -> tuple[LaunchPlan, bytes]:
    """One launch, a region that was filled before, one that was not, and a written variable."""
    return plan_of(
        cubin,
        (b"\x01" * 512, b"\x07\0\0\0"),
        regions=[
            MemoryRegion(address=RESERVATION_BASE, nbytes=512, content=0),
            MemoryRegion(address=RESERVATION_BASE + 4096, nbytes=512),
        ],
        globals=[GlobalImage(module=0, name="counter", content=1)],
    )
