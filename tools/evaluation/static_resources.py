"""What compiling a kernel for a target shows: occupancy, instruction classes, what stands out.

Pure: it takes what the candidate process read from the compiler's own dumps (`wire.Compiled`) and
the limits of the target. A figure is a property of the code, not of a run: an instruction counts
once however often a loop executes it, and dynamic shared memory counts only where the launch said
how much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from ..devices.hardware import Architecture, architecture_of
from ..devices.occupancy import theoretical_occupancy
from ..messages.candidate import CompiledKernel
from ..schema.evaluation import StaticCheck, StaticKernel

_TENSOR_MMA = frozenset({"HMMA", "IMMA", "DMMA", "BMMA", "QMMA", "OMMA"})
_FLOAT = frozenset(
    {"FFMA", "FADD", "FMUL", "FFMA2", "FADD2", "FMUL2", "HFMA2", "HADD2", "HMUL2", "DFMA"}
    | {"DADD", "DMUL", "FMNMX", "FSEL"}
)
_INTEGER = frozenset({"IMAD", "IADD", "IADD3", "LEA", "LOP3", "SHF", "SEL", "PRMT", "ISETP"})
_BULK_COPY = ("UTMALDG", "UTMASTG", "UTMAREDG", "UTMAPF", "UBLKCP", "UBLKRED", "UBLKPF")
_BARRIERS = frozenset({"BAR", "SYNCS", "WARPSYNC", "UCGABAR_ARV", "UCGABAR_WAIT", "MEMBAR"})
_ATOMICS = frozenset({"ATOM", "ATOMG", "ATOMS", "RED", "REDG"})
_CLASS_OF = (
    dict.fromkeys(_TENSOR_MMA, "tensor_mma")
    | dict.fromkeys(_FLOAT, "float")
    | dict.fromkeys(_INTEGER, "integer")
    | dict.fromkeys(_BARRIERS, "barrier")
    | dict.fromkeys(_ATOMICS, "atomic")
    | {"LDG": "load_global", "STG": "store_global", "LDL": "load_local", "STL": "store_local"}
    | {"LDS": "load_shared", "LDSM": "load_shared", "STS": "store_shared", "STSM": "store_shared"}
    | {"LDGSTS": "async_copy", "MUFU": "special_function"}
)
_WIDE_MINIMUM = 4
"""Narrow loads worth a note: fewer are usually scalars and indices."""


def classify_opcodes(opcodes: Mapping[str, int]) -> dict[str, int]:
    """Counts SASS instructions, given by opcode ("LDG.E.128.CONSTANT" or "LDG"), by what they do.

    Returns:
        Counts by class; `tensor` is the sum over all tensor-core generations (`tensor_mma` for
        mma.sync, `tensor_wgmma` for Hopper's, `tensor_tcgen05` for Blackwell's), `load_global_128`
        the 16-byte part of `load_global`, `async_copy` what goes from global to shared memory
        without a register, `local` all local-memory traffic, `total` everything.
    """
    counts: Counter[str] = Counter()
    for opcode, count in opcodes.items():
        base, *modifiers = opcode.upper().split(".")
        name = _class_of(base)
        counts["total"] += count
        if name is None:
            continue
        counts[name] += count
        if name in ("load_global", "store_global", "async_copy"):
            counts[f"{name}_{_width(modifiers)}"] += count
        elif name.startswith("tensor_"):
            counts["tensor"] += count
        elif name in ("load_local", "store_local"):
            counts["local"] += count
    return dict(sorted(counts.items()))


def _class_of(base: str) -> str | None:
    if base.startswith("UTC") and base.endswith("MMA"):
        return "tensor_tcgen05"
    if base.endswith("GMMA"):
        return "tensor_wgmma"
    if base.startswith(_BULK_COPY):
        return "bulk_copy"
    return _CLASS_OF.get(base)


def _width(modifiers: Iterable[str]) -> int:
    widths = {"128": 128, "64": 64, "256": 256, "U8": 8, "S8": 8, "U16": 16, "S16": 16}
    return next((widths[m] for m in modifiers if m in widths), 32)


def explained_kernel(kernel: CompiledKernel) -> StaticKernel:
    """Adds occupancy, instruction classes and notes to one compiled kernel."""
    return explained(
        StaticKernel(
            name=kernel.name,
            target=kernel.target,
            config=dict(kernel.config),
            registers=kernel.registers,
            shared_bytes=kernel.shared_bytes,
            stack_bytes=kernel.stack_bytes,
            spill_bytes=kernel.spill_bytes,
            threads=kernel.threads,
            instructions=dict(kernel.opcodes),
        )
    )


def explained(kernel: StaticKernel) -> StaticKernel:
    """Explains a kernel as the judge records it, its `instructions` being opcodes as counted.

    A kernel that was explained before comes back as it is.
    """
    if "total" in kernel.instructions or kernel.occupancy is not None:
        return kernel
    instructions = classify_opcodes(kernel.instructions) if kernel.instructions else {}
    architecture = architecture_of(kernel.target)
    fraction, limit = None, None
    notes = list(kernel.notes)
    if architecture is not None and kernel.threads and kernel.registers is not None:
        occupancy = theoretical_occupancy(
            architecture,
            threads=kernel.threads,
            registers=kernel.registers,
            shared_bytes=kernel.shared_bytes or 0,
        )
        fraction, limit = round(occupancy.fraction, 4), occupancy.limit
        if occupancy.blocks == 0:
            notes.append(f"One block does not fit on a multiprocessor of {kernel.target}: {limit}.")
    elif architecture is None:
        notes.append(f"Occupancy limits of {kernel.target} are not in the table.")
    elif kernel.registers is not None:
        notes.append(_block_size_note(kernel, architecture))
    notes += _notes(kernel, instructions)
    return kernel.model_copy(
        update={
            "instructions": instructions,
            "occupancy": fraction,
            "occupancy_limit": limit,
            "notes": notes,
        }
    )


def explained_check(check: StaticCheck | None) -> StaticCheck | None:
    """Explains every kernel of a recorded check; None stays None."""
    if check is None:
        return None
    return check.model_copy(update={"kernels": [explained(kernel) for kernel in check.kernels]})


def _notes(kernel: StaticKernel, instructions: Mapping[str, int]) -> list[str]:
    notes: list[str] = []
    if kernel.spill_bytes:
        notes.append(f"{kernel.spill_bytes} bytes a thread are spilled to local memory.")
    local = instructions.get("local", 0)
    if local and not kernel.spill_bytes:
        notes.append(f"{local} local-memory instructions: an array indexed at run time, or spills.")
    if not instructions:
        return notes
    # Bulk copies move whole tiles: beside them, ordinary loads are scalars and indices.
    loads, wide = _loads(instructions)
    if loads >= _WIDE_MINIMUM and wide * 2 < loads and not instructions.get("bulk_copy"):
        notes.append(f"{loads - wide} of {loads} global loads are narrower than 16 bytes.")
    if not instructions.get("tensor") and instructions.get("float", 0) > 64:
        notes.append("No tensor-core instruction; the arithmetic is on the FP32 pipes.")
    mma, wgmma = instructions.get("tensor_mma", 0), instructions.get("tensor_wgmma", 0)
    if mma and not wgmma and kernel.target.startswith("sm_90"):
        notes.append("Tensor instructions are mma.sync; wgmma is what reaches Hopper's peak.")
    if mma and not instructions.get("tensor_tcgen05") and kernel.target.startswith("sm_10"):
        notes.append("Tensor instructions are mma.sync; tcgen05 is what reaches Blackwell's peak.")
    return notes


def _loads(instructions: Mapping[str, int]) -> tuple[int, int]:
    """Loads from global memory, to registers and to shared memory, and those of 16 bytes."""
    kinds = ("load_global", "async_copy")
    loads = sum(instructions.get(kind, 0) for kind in kinds)
    wide = sum(instructions.get(f"{kind}_{bits}", 0) for kind in kinds for bits in (128, 256))
    return loads, wide


def _block_size_note(kernel: StaticKernel, architecture: Architecture) -> str:
    """What can be said of occupancy where nothing tells how many threads a block has."""
    one_warp = theoretical_occupancy(
        architecture,
        threads=architecture.threads_per_warp,
        registers=kernel.registers or 0,
        shared_bytes=kernel.shared_bytes or 0,
    )
    warps = min(one_warp.by_resource["registers"], architecture.warps_per_sm)
    said = f"Its block size is not in the code (no __launch_bounds__): registers allow {warps} of "
    said += f"{architecture.warps_per_sm} warps"
    if kernel.shared_bytes:
        said += f", static shared memory {one_warp.by_resource['shared_memory']} blocks"
    return f"{said}."
