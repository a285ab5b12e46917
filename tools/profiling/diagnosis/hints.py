"""Proposes changes to a kernel, ranked by the most that each could gain.

Each hint names one change, the figure that asks for it and the gain that figure allows if nothing
else were in the way. At most five come back. The longer story of each class, with tactics for
Hopper and Blackwell, is in the references of the diagnose-kernel skill.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from pydantic import Field

from ...devices.hardware import Architecture, architectures
from ...devices.occupancy import theoretical_occupancy
from ...schema.record_model import FiniteFloat, RecordModel
from .bottleneck import (
    NO_FLOORS,
    Bottleneck,
    Diagnosis,
    WorkFloors,
    blocks_of,
    stall_share,
    tail_loss,
)
from .kernel_profile import KernelProfile

MOST = 5
FEW_REGISTERS = 128
"""Fewer than a thread may have by far: a kernel that spills with them has a limit set on it."""
ALL_SPILLS_PERCENT = 95.0
REGISTER_STEP = 8
_BEYOND_A_KERNEL = frozenset({"MemoryL2Compression"})
"""Rules on what the allocator decides and no kernel can."""


class Hint(RecordModel):
    """One change worth trying."""

    change: str = Field(description="What to change, as an instruction.")
    because: str = Field(description="The figures that ask for it.")
    gain_percent: FiniteFloat = Field(
        default=None, description="Largest share of this kernel's time it could save."
    )


def hints_for(
    kernel: KernelProfile, diagnosis: Diagnosis, floors: WorkFloors = NO_FLOORS
) -> list[Hint]:
    """Changes worth trying on a kernel, those of its bottleneck first, then by gain."""
    own = list(_OF_CLASS[diagnosis.bottleneck](kernel, diagnosis, floors))
    others = [hint for hint in _anywhere(kernel) if hint.change not in {h.change for h in own}]
    own.sort(key=lambda hint: hint.gain_percent or 0.0, reverse=True)
    others.sort(key=lambda hint: hint.gain_percent or 0.0, reverse=True)
    return (own + others)[:MOST]


def _percent(share: float) -> float:
    return round(100 * min(max(share, 0.0), 0.99), 1)


def _floor_gain(kernel: KernelProfile, floor_us: float | None) -> float | None:
    duration = (kernel.duration_us or 0.0) / kernel.launches
    if not floor_us or duration <= 0:
        return None
    return _percent(1 - floor_us / duration)


def _compute(kernel: KernelProfile, diagnosis: Diagnosis, floors: WorkFloors) -> Iterator[Hint]:
    tensor, issue = kernel.tensor_percent or 0.0, kernel.issue_percent or 0.0
    if tensor < 5:
        yield Hint(
            change="Move the products to tensor cores (tl.dot; mma, wgmma or tcgen05 in CUDA).",
            because=f"SM {kernel.compute_percent or 0:.0f} % busy, tensor pipe {tensor:.0f} %.",
            gain_percent=_floor_gain(kernel, floors.floor_us),
        )
    elif tensor >= 60:
        yield Hint(
            change="Cut the operations: a narrower precision the definition allows, skipped tiles, "
            "no recomputation.",
            because=f"The tensor pipe runs at {tensor:.0f} % of its peak.",
            gain_percent=_floor_gain(kernel, floors.floor_us),
        )
    else:
        yield Hint(
            change="Feed the tensor pipe: larger tiles, more pipeline stages, producer warps of "
            "their own, fewer conversions between products.",
            because=f"Tensor pipe {tensor:.0f} %, issue slots {issue:.0f} %.",
            gain_percent=_percent(1 - max(tensor, 1.0) / 90),
        )
    if issue >= 60 and tensor < 60:
        yield Hint(
            change="Issue fewer instructions: 16-byte loads, packed arithmetic, address "
            "computation out of the loop, unrolling.",
            because=f"Issue slots are {issue:.0f} % busy.",
            gain_percent=_percent(issue / 100 * 0.4),
        )


def _bandwidth(kernel: KernelProfile, diagnosis: Diagnosis, floors: WorkFloors) -> Iterator[Hint]:
    if diagnosis.level in ("shared memory", "L1") or _conflicted(kernel):
        yield from _shared_memory(kernel)
    needed, moved = floors.bytes_moved, kernel.dram_bytes
    if needed and moved and moved > 1.15 * needed:
        yield Hint(
            change="Move each byte once: keep what is read again in registers, shared memory or "
            "L2, and order blocks so that neighbours share it.",
            because=f"{moved / 1e6:.2f} MB cross DRAM, {needed / 1e6:.2f} MB must.",
            gain_percent=_percent(1 - needed / moved),
        )
    if diagnosis.level == "DRAM":
        dram = kernel.dram_percent or 0.0
        yield Hint(
            change="Ask DRAM for more at once: 16-byte accesses, bulk copies, more bytes in flight "
            "per SM."
            if dram < 80
            else "Only fewer bytes help now: a narrower format, fusion with a neighbour, skipped "
            "rows.",
            because=f"DRAM runs at {dram:.0f} % of its peak; a copy reaches about 90 %.",
            gain_percent=_percent(1 - dram / 90) if dram < 90 else 0.0,
        )
    if diagnosis.level == "L2":
        dram, l2 = kernel.dram_percent or 0.0, max(kernel.l2_percent or 1.0, 1.0)
        yield Hint(
            change="Read L2 less often: larger tiles, multicast of shared tiles in a cluster, "
            "reuse in shared memory.",
            because=f"L2 runs at {l2:.0f} %, DRAM at {dram:.0f} %.",
            gain_percent=_percent(1 - dram / l2),
        )


def _shared_memory(kernel: KernelProfile) -> Iterator[Hint]:
    conflicts = kernel.bank_conflict_percent or 0.0
    if conflicts >= 5:
        yield Hint(
            change="Remove the bank conflicts: pad rows, swizzle the layout, or let a warp's lanes "
            "take consecutive words.",
            because=f"{conflicts:.0f} % of shared-memory wavefronts are repeats.",
            gain_percent=_percent(conflicts / 100),
        )
    else:
        yield Hint(
            change="Use L1 and shared memory less: hold operands in registers across iterations, "
            "load 16 bytes a thread.",
            because=f"L1 and shared memory run at {kernel.l1_percent or 0:.0f} %.",
            gain_percent=None,
        )


def _conflicted(kernel: KernelProfile) -> bool:
    return (kernel.bank_conflict_percent or 0.0) >= 25


def _latency(kernel: KernelProfile, diagnosis: Diagnosis, floors: WorkFloors) -> Iterator[Hint]:
    waiting = stall_share(kernel, "long_scoreboard")
    yield Hint(
        change="Start loads earlier: prefetch the next tile (cp.async, bulk copy, num_stages), and "
        "keep several independent loads in flight a thread.",
        because=f"{100 * waiting:.0f} % of warp cycles wait for a load.",
        gain_percent=_percent(waiting),
    )
    if (kernel.l2_hit_percent or 0.0) < 50 and kernel.sectors_per_load:
        yield Hint(
            change="Shorten chains of dependent loads: load indices of a whole block first, then "
            "the rows they name.",
            because=f"L2 hit rate {kernel.l2_hit_percent or 0:.0f} %, "
            f"{kernel.sectors_per_load:.1f} sectors a load.",
            gain_percent=_percent(waiting / 2),
        )
    if (kernel.warps_active or 0.0) < 4:
        yield Hint(
            change="Give each scheduler more warps: smaller blocks of work, or split the reduced "
            "axis over blocks.",
            because=f"{kernel.warps_active or 0:.1f} warps a scheduler hide the waiting.",
            gain_percent=_percent(waiting * 0.7),
        )


def _launch(kernel: KernelProfile, diagnosis: Diagnosis, floors: WorkFloors) -> Iterator[Hint]:
    launches = next((e.value for e in diagnosis.evidence if e.metric == "launches"), None) or 1
    if launches > 1:
        yield Hint(
            change="Fuse the kernels into one, with a grid-wide or cluster-wide barrier if a later "
            "one needs all of an earlier one.",
            because=f"{launches:.0f} kernels in one call, each with a start and an end.",
            gain_percent=_percent(1 - 1 / launches),
        )
        yield Hint(
            change="If they cannot be fused, overlap them: programmatic dependent launch, with the "
            "prologue before the wait.",
            because="The next kernel's start hides behind the end of the one before.",
            gain_percent=_percent((1 - 1 / launches) / 2),
        )
    else:
        yield Hint(
            change="Stop tuning the body; take work out of the prologue (descriptors, tensor maps, "
            "shared-memory set-up) or leave this shape.",
            because=f"{kernel.duration_us or 0:.1f} us is near the time of an empty kernel.",
            gain_percent=_floor_gain(kernel, floors.latency_floor_us),
        )


def _chain(kernel: KernelProfile, diagnosis: Diagnosis, floors: WorkFloors) -> Iterator[Hint]:
    steps = floors.serial_steps
    if steps > 1:
        yield Hint(
            change="Shorten the chain: a chunked or two-pass scan whose steps are products, with "
            "larger chunks.",
            because=f"{steps} dependent steps, no unit busy.",
            gain_percent=_floor_gain(kernel, floors.latency_floor_us),
        )
    yield Hint(
        change="Take work off the critical path: compute what does not depend on the previous step "
        "in other warps, ahead of time.",
        because=_top_stall(kernel),
        gain_percent=_percent(kernel.stalls[0].share) if kernel.stalls else None,
    )
    waits = stall_share(kernel, "barrier", "membar", "sleeping")
    if waits >= 0.2:
        yield Hint(
            change="Replace block-wide barriers by mbarriers or named barriers between the warps "
            "that need them.",
            because=f"{100 * waits:.0f} % of warp cycles wait at barriers.",
            gain_percent=_percent(waits),
        )


def _tail(kernel: KernelProfile, diagnosis: Diagnosis, floors: WorkFloors) -> Iterator[Hint]:
    loss, blocks, sms = tail_loss(kernel), blocks_of(kernel), kernel.sm_count or 0
    if blocks and sms and blocks < sms:
        yield Hint(
            change="Cut the work into more blocks: split the reduced axis (split-K) and combine in "
            "the same kernel, or halve the tiles.",
            because=f"{blocks} blocks for {sms} SMs: {-(-sms // blocks)} times as many fill one "
            "wave.",
            gain_percent=_percent(loss),
        )
    else:
        yield Hint(
            change="Make the last wave full: a persistent grid that takes tiles from a queue, "
            "longest first, or tiles whose number divides by the SMs.",
            because=f"{kernel.waves or 0:.2f} waves; an average SM is busy "
            f"{kernel.sm_active_percent or 0:.0f} % of the time.",
            gain_percent=_percent(loss),
        )
    if (kernel.sm_imbalance or 1.0) > 1.25 and not (blocks and sms and blocks < sms):
        yield Hint(
            change="Even out the blocks: split long sequences or experts over several blocks.",
            because=f"The busiest SM works {kernel.sm_imbalance:.2f} times the average.",
            gain_percent=_percent(1 - 1 / (kernel.sm_imbalance or 1.0)),
        )


def _occupancy(kernel: KernelProfile, diagnosis: Diagnosis, floors: WorkFloors) -> Iterator[Hint]:
    limit = kernel.occupancy_limit
    change = {
        "registers": f"Use fewer registers{_few_enough(kernel)}: smaller accumulators, "
        "__launch_bounds__, fewer stages held in registers.",
        "shared_memory": f"Use less shared memory{_small_enough(kernel)}: fewer stages, smaller "
        "tiles, buffers reused between phases.",
    }.get(limit or "", "Launch blocks of a size that fills an SM.")
    theoretical = kernel.occupancy_theoretical_percent or 0.0
    idle = 1 - (kernel.issue_percent or 0.0) / 100
    yield Hint(
        change=change,
        because=f"{theoretical:.0f} % theoretical occupancy, limited by {limit}; "
        f"{kernel.registers} registers, {(kernel.shared_bytes or 0) / 1024:.0f} KiB.",
        gain_percent=_percent(idle * (1 - theoretical / 100) / 2),
    )
    yield Hint(
        change="Or hide the waiting with few warps: deeper asynchronous copies, producer and "
        "consumer warps, independent accumulators.",
        because=_top_stall(kernel),
        gain_percent=_percent(kernel.stalls[0].share / 2) if kernel.stalls else None,
    )


def _hopper() -> Architecture:
    """Limits of Hopper's multiprocessor; all architectures of the table have its registers."""
    return architectures()["sm_90"]


def _few_enough(kernel: KernelProfile) -> str:
    """Registers that a thread may have for one more block on an SM; empty when unknown."""
    hopper, threads = _hopper(), math.prod(kernel.block)
    if not kernel.block or not kernel.registers or threads < 1:
        return ""

    def blocks(registers: int) -> int:
        found = theoretical_occupancy(hopper, threads=threads, registers=registers, shared_bytes=0)
        return found.by_resource["registers"]

    more = blocks(kernel.registers) + 1
    for registers in range(kernel.registers - 1, 15, -1):
        if blocks(registers) >= more:
            return f" ({registers} a thread make room for {more} blocks on an SM)"
    return ""


def _small_enough(kernel: KernelProfile) -> str:
    """Shared memory that a block may have for one more block on an SM of Hopper or Blackwell."""
    hopper = _hopper()
    if not kernel.shared_bytes or (kernel.sm_count or 0) < 114:
        return ""
    reserved = hopper.shared_bytes_reserved_per_block
    blocks = hopper.shared_bytes_per_sm // (kernel.shared_bytes + reserved) + 1
    share = hopper.shared_bytes_per_sm // blocks // hopper.shared_unit * hopper.shared_unit
    left = (share - reserved) / 1024
    return f" ({left:.0f} KiB a block make room for {blocks} on an SM)" if left > 0 else ""


def _spills(kernel: KernelProfile, diagnosis: Diagnosis, floors: WorkFloors) -> Iterator[Hint]:
    share = next(
        (e.value for e in diagnosis.evidence if e.metric == "local_instruction_share"), None
    )
    threads = math.prod(kernel.block) if kernel.block else 0
    possible = _registers_possible(threads)
    if kernel.registers and kernel.registers < min(FEW_REGISTERS, possible):
        yield Hint(
            change="Lift the limit on registers (maxnreg, the second number of __launch_bounds__, "
            "--maxrregcount) before anything else.",
            because=f"It spills with {kernel.registers} registers a thread; {possible} are possible"
            + (f" in blocks of {threads} threads." if threads else "."),
            gain_percent=_percent((share or 0) / 100 * 2),
        )
    yield Hint(
        change="Keep fewer values alive: smaller tiles a warp, more warps for the same tile, less "
        "unrolling, or a higher register limit.",
        because=f"{share or 0:.0f} % of instructions touch local memory at "
        f"{kernel.registers} registers.",
        gain_percent=_percent((share or 0) / 100 * 2),
    )
    if (kernel.spill_percent or 0.0) < ALL_SPILLS_PERCENT:
        yield Hint(
            change="Index arrays by constants only: an index known at run time puts the array in "
            "local memory.",
            because=f"{kernel.local_instructions or 0:.0f} local-memory instructions.",
            gain_percent=_percent((share or 0) / 100),
        )


def _registers_possible(threads: int) -> int:
    """Registers that a thread may have in a block of so many threads."""
    hopper = _hopper()
    each = hopper.registers_per_sm // max(threads, hopper.threads_per_warp)
    return min(hopper.registers_per_thread, each // REGISTER_STEP * REGISTER_STEP)


def _anywhere(kernel: KernelProfile) -> Iterator[Hint]:
    """Changes worth making whatever the bottleneck."""
    efficiency = kernel.sector_efficiency_percent
    if efficiency is not None and efficiency < 70:
        yield Hint(
            change="Coalesce: let neighbouring lanes read neighbouring 16-byte words.",
            because=f"{efficiency:.0f} % of each fetched sector is used.",
            gain_percent=_percent((1 - efficiency / 100) * (kernel.memory_percent or 0.0) / 100),
        )
    if (kernel.bank_conflict_percent or 0.0) >= 15:
        yield from _shared_memory(kernel)
    usable = (r for r in kernel.rules if r.name not in _BEYOND_A_KERNEL)
    rule = next((r for r in usable if r.kind == "global" and r.speedup_percent), None)
    if rule is not None:
        yield Hint(
            change=f"Nsight Compute's rule {rule.name}: {_first_sentence(rule.message)}",
            because=f"Its own estimate for the whole kernel is {rule.speedup_percent:.0f} %.",
            gain_percent=rule.speedup_percent,
        )


def _first_sentence(text: str) -> str:
    head = re.split(r"\.\s|\.(?=[A-Z][a-z])", text)[0].rstrip(". ")
    if len(head) <= 220:
        return f"{head}."
    return f"{head[:220].rpartition(' ')[0]} …."


def _top_stall(kernel: KernelProfile) -> str:
    if not kernel.stalls:
        return "Stall reasons were not collected."
    top = kernel.stalls[0]
    return f"{100 * top.share:.0f} % of warp cycles are {top.reason}."


_OF_CLASS = {
    Bottleneck.COMPUTE: _compute,
    Bottleneck.MEMORY_BANDWIDTH: _bandwidth,
    Bottleneck.MEMORY_LATENCY: _latency,
    Bottleneck.LAUNCH: _launch,
    Bottleneck.SERIAL_CHAIN: _chain,
    Bottleneck.TAIL: _tail,
    Bottleneck.OCCUPANCY: _occupancy,
    Bottleneck.SPILLS: _spills,
}
