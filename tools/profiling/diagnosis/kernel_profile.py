"""Record of one profiled kernel: metrics with units, stalls, rules."""

from __future__ import annotations

from pydantic import Field

from ...schema.record_model import FiniteFloat, RecordModel

NAME_CHARACTERS = 300


class Stall(RecordModel):
    """One stall reason: cycles that a warp waits for it, for each instruction that it issues."""

    reason: str
    cycles: float
    share: float = Field(description="Of all warp cycles, 0 to 1.")


class Rule(RecordModel):
    """One finding of the profiler's own rules."""

    name: str
    message: str
    speedup_percent: FiniteFloat = None
    kind: str | None = Field(
        default=None, description="'global': of the whole kernel; 'local': of what the rule names."
    )


class KernelProfile(RecordModel):
    """Metrics of one kernel name; those of its longest launch."""

    name: str
    launches: int = 1
    share: float = Field(default=1.0, description="Of the call's device time, 0 to 1.")
    duration_us: FiniteFloat = Field(default=None, description="Sum over its launches.")
    grid: list[int] = Field(default_factory=list)
    block: list[int] = Field(default_factory=list)
    waves: FiniteFloat = None
    sm_count: int | None = None
    cluster: int | None = None
    registers: int | None = None
    shared_bytes: int | None = None
    occupancy_theoretical_percent: FiniteFloat = None
    occupancy_achieved_percent: FiniteFloat = None
    occupancy_limit: str | None = None
    compute_percent: FiniteFloat = Field(default=None, description="Compute (SM) throughput.")
    memory_percent: FiniteFloat = Field(default=None, description="Memory throughput, any level.")
    dram_percent: FiniteFloat = None
    l2_percent: FiniteFloat = None
    l1_percent: FiniteFloat = None
    tensor_percent: FiniteFloat = None
    fma_percent: FiniteFloat = None
    issue_percent: FiniteFloat = Field(default=None, description="Of issue slots.")
    sm_active_percent: FiniteFloat = Field(
        default=None, description="Share of the duration in which an average SM had a warp."
    )
    sm_imbalance: FiniteFloat = Field(default=None, description="Busiest over average SM.")
    dram_bytes: FiniteFloat = None
    dram_bytes_per_second: FiniteFloat = None
    l1_hit_percent: FiniteFloat = None
    l2_hit_percent: FiniteFloat = None
    sector_efficiency_percent: FiniteFloat = Field(
        default=None, description="Useful bytes of each 32-byte sector of global accesses."
    )
    sectors_per_load: FiniteFloat = None
    bank_conflict_percent: FiniteFloat = Field(
        default=None, description="Shared-memory wavefronts that conflicts added, of all."
    )
    shared_wavefront_percent: FiniteFloat = Field(
        default=None, description="Shared-memory wavefronts over their peak rate."
    )
    spill_requests: FiniteFloat = None
    spill_percent: FiniteFloat = Field(default=None, description="Spills, of all local requests.")
    local_instructions: FiniteFloat = None
    instructions: FiniteFloat = None
    warps_active: FiniteFloat = Field(default=None, description="Per scheduler and cycle.")
    warps_eligible: FiniteFloat = Field(default=None, description="Per scheduler and cycle.")
    warp_cycles_per_instruction: FiniteFloat = None
    stalls: list[Stall] = Field(default_factory=list)
    rules: list[Rule] = Field(default_factory=list)
