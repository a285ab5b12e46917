"""What one multiprocessor of each architecture grants, and the occupancy that follows.

The figures are those of the CUDA programming guide's table of technical specifications by compute
capability and of Nsight Compute's occupancy calculator. The calculation takes the largest shared
memory carve-out, so it is an upper bound for a kernel that runs with a smaller one, and it knows
nothing of clusters, whose blocks must be resident together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

THREADS_PER_WARP = 32


@dataclass(frozen=True)
class TargetLimits:
    """The resources of one multiprocessor; sizes in bytes, registers of 32 bits."""

    warps: int
    blocks: int
    registers: int
    registers_per_thread: int
    shared_bytes: int
    shared_bytes_per_block: int
    shared_reserved_per_block: int = 1024
    shared_unit: int = 128
    register_unit: int = 256
    warp_unit: int = 4
    threads_per_block: int = 1024


_LARGE = {"warps": 64, "blocks": 32, "registers": 65536, "registers_per_thread": 255}
LIMITS: dict[str, TargetLimits] = {
    "sm_80": TargetLimits(**_LARGE, shared_bytes=167_936, shared_bytes_per_block=166_912),
    "sm_90": TargetLimits(**_LARGE, shared_bytes=233_472, shared_bytes_per_block=232_448),
    "sm_100": TargetLimits(**_LARGE, shared_bytes=233_472, shared_bytes_per_block=232_448),
    "sm_103": TargetLimits(**_LARGE, shared_bytes=233_472, shared_bytes_per_block=232_448),
}
"""By architecture, without its feature suffix: sm_90a has the limits of sm_90."""


@dataclass(frozen=True)
class Occupancy:
    """How many blocks one multiprocessor can hold.

    Attributes:
        blocks: resident blocks; 0 when one block alone does not fit.
        fraction: resident warps over the most possible, 0 to 1.
        limit: the resource that ends it: 'registers', 'shared_memory', 'blocks' or 'warps'.
        by_resource: resident blocks that each resource alone would allow.
    """

    blocks: int
    fraction: float
    limit: str
    by_resource: dict[str, int]


def limits_of(target: str) -> TargetLimits | None:
    """Finds the limits of 'sm_90', 'sm_90a', 'sm_100f', '90a' or '9.0'; None when unknown."""
    match = re.fullmatch(r"(?:sm_)?(\d+)(?:\.(\d+))?[af]?", target.strip())
    if match is None:
        return None
    return LIMITS.get(f"sm_{match.group(1)}{match.group(2) or ''}")


def theoretical_occupancy(
    limits: TargetLimits, *, threads: int, registers: int, shared_bytes: int
) -> Occupancy:
    """Counts the blocks that fit on one multiprocessor.

    Method: registers are granted to a warp in units of `register_unit` and warps in groups of
    `warp_unit`; every block pays `shared_reserved_per_block` bytes beside its own shared memory.

    Args:
        limits: the architecture.
        threads: threads of a block, at least 1.
        registers: registers of a thread.
        shared_bytes: static and dynamic shared memory of a block.
    """
    warps = -(-max(threads, 1) // THREADS_PER_WARP)
    by_resource = {
        "registers": _blocks_by_registers(limits, warps, registers),
        "shared_memory": _blocks_by_shared(limits, shared_bytes),
        "warps": limits.warps // warps if threads <= limits.threads_per_block else 0,
        "blocks": limits.blocks,
    }
    blocks = min(by_resource.values())
    order = ("warps", "blocks", "shared_memory", "registers")
    limit = next(name for name in order if by_resource[name] == blocks)
    return Occupancy(blocks, blocks * warps / limits.warps, limit, by_resource)


def _blocks_by_registers(limits: TargetLimits, warps: int, registers: int) -> int:
    if registers > limits.registers_per_thread:
        return 0
    if registers <= 0:
        return limits.blocks
    unit = limits.register_unit
    per_warp = -(-registers * THREADS_PER_WARP // unit) * unit
    resident = limits.registers // per_warp // limits.warp_unit * limits.warp_unit
    return resident // warps


def _blocks_by_shared(limits: TargetLimits, shared_bytes: int) -> int:
    if shared_bytes > limits.shared_bytes_per_block:
        return 0
    unit = limits.shared_unit
    used = -(-(shared_bytes + limits.shared_reserved_per_block) // unit) * unit
    return limits.shared_bytes // used
