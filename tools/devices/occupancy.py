"""Occupancy: the thread blocks that one multiprocessor can hold, and what limits them.

The calculation takes the largest shared memory carve-out, so it is an upper bound for a kernel that
runs with a smaller one, and it knows nothing of clusters, whose blocks must be resident together.
"""

from __future__ import annotations

from dataclasses import dataclass

from .hardware import Architecture


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


def theoretical_occupancy(
    architecture: Architecture, *, threads: int, registers: int, shared_bytes: int
) -> Occupancy:
    """Counts the blocks that fit on one multiprocessor.

    Method: registers are granted to a warp in units of `register_unit` and warps in groups of
    `warp_unit`; every block pays a reserved kilobyte beside its own shared memory.
    """
    warps = -(-max(threads, 1) // architecture.threads_per_warp)
    fits = threads <= architecture.threads_per_block
    by_resource = {
        "registers": _blocks_by_registers(architecture, warps, registers),
        "shared_memory": _blocks_by_shared(architecture, shared_bytes),
        "warps": architecture.warps_per_sm // warps if fits else 0,
        "blocks": architecture.blocks_per_sm,
    }
    blocks = min(by_resource.values())
    order = ("warps", "blocks", "shared_memory", "registers")
    limit = next(name for name in order if by_resource[name] == blocks)
    return Occupancy(blocks, blocks * warps / architecture.warps_per_sm, limit, by_resource)


def _blocks_by_registers(architecture: Architecture, warps: int, registers: int) -> int:
    if registers > architecture.registers_per_thread:
        return 0
    if registers <= 0:
        return architecture.blocks_per_sm
    unit = architecture.register_unit
    per_warp = -(-registers * architecture.threads_per_warp // unit) * unit
    resident = architecture.registers_per_sm // per_warp
    return resident // architecture.warp_unit * architecture.warp_unit // warps


def _blocks_by_shared(architecture: Architecture, shared_bytes: int) -> int:
    if shared_bytes > architecture.shared_bytes_per_block:
        return 0
    unit = architecture.shared_unit
    used = -(-(shared_bytes + architecture.shared_bytes_reserved_per_block) // unit) * unit
    return architecture.shared_bytes_per_sm // used
