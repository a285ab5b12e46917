"""What compiling shows that need not be run: a block that does not fit, registers that spill.

Pure. It knows figures of code, not of runs, and so leaves out only what a kernel cannot recover
from. Low occupancy is none of that: many fast kernels hold one block on a multiprocessor.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..schema.evaluation import StaticCheck, StaticKernel

SPILLED_BYTES = 64
"""A thread: what few bytes cost is within what a wider tile gains."""


def pruned(checks: Mapping[str, StaticCheck | None], target: str | None = None) -> dict[str, str]:
    """By name of each variant that need not be run, why.

    Args:
        target: the architecture that it would be run on; None: whatever it was compiled for, and
            only what holds on all of them counts.
    """
    kernels = {name: _of_target(check, target) for name, check in checks.items()}
    spills = {name: _least_spill(found) for name, found in kernels.items() if found}
    none_spills = any(spill < SPILLED_BYTES for spill in spills.values())
    reasons: dict[str, str] = {}
    for name, found in kernels.items():
        too_large = [_too_large(of_target) for of_target in found.values()]
        if too_large and all(too_large):
            reasons[name] = too_large[0] or ""
        elif none_spills and spills.get(name, 0) >= SPILLED_BYTES:
            reasons[name] = f"spills {spills[name]} bytes a thread, where other variants do not"
    return reasons


def _of_target(check: StaticCheck | None, target: str | None) -> dict[str, list[StaticKernel]]:
    found: dict[str, list[StaticKernel]] = {}
    for kernel in check.kernels if check else []:
        if target is None or kernel.target.rstrip("af") == target.rstrip("af"):
            found.setdefault(kernel.target, []).append(kernel)
    return found


def _least_spill(found: Mapping[str, list[StaticKernel]]) -> int:
    """Of the worst kernel on the target where it spills least."""
    return min(max(kernel.spill_bytes or 0 for kernel in kernels) for kernels in found.values())


def _too_large(kernels: list[StaticKernel]) -> str | None:
    for kernel in kernels:
        if kernel.occupancy == 0:
            limit = kernel.occupancy_limit or "its resources"
            shared = f", {kernel.shared_bytes} B shared" if kernel.shared_bytes else ""
            return f"no block of {kernel.name} fits on {kernel.target}: {limit}{shared}"
    return None
