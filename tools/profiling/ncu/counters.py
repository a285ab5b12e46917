"""The names of Nsight Compute's counters behind each figure, first choice first.

Names drift between releases and architectures, so a figure lists all that it is known by. They
were checked against NVIDIA's guides and against listings of reports from Hopper and Blackwell
machines. `kernel_profiles` computes the figures.
"""

from __future__ import annotations

import re

_ELAPSED = "avg.pct_of_peak_sustained_elapsed"
_ACTIVE = "avg.pct_of_peak_sustained_active"

NAMES: dict[str, tuple[str, ...]] = {
    "duration": ("gpu__time_duration.sum", "gpu__time_duration.avg", "gpu__time_duration.max"),
    "waves": ("launch__waves_per_multiprocessor",),
    "registers": ("launch__registers_per_thread",),
    "shared": ("launch__shared_mem_per_block",),
    "shared_static": ("launch__shared_mem_per_block_static",),
    "shared_dynamic": ("launch__shared_mem_per_block_dynamic",),
    "sm_count": ("device__attribute_multiprocessor_count", "launch__sm_count"),
    "cluster": ("launch__cluster_size",),
    "occupancy_theoretical": ("sm__maximum_warps_per_active_cycle_pct",),
    "occupancy_achieved": (f"sm__warps_active.{_ACTIVE}",),
    "compute": (f"sm__throughput.{_ELAPSED}",),
    "memory": (f"gpu__compute_memory_throughput.{_ELAPSED}",),
    "dram": (f"gpu__dram_throughput.{_ELAPSED}", f"dram__throughput.{_ELAPSED}"),
    "dram_read_percent": ("dram__bytes_read.sum.pct_of_peak_sustained_elapsed",),
    "dram_write_percent": ("dram__bytes_write.sum.pct_of_peak_sustained_elapsed",),
    "dram_read": ("dram__bytes_read.sum", "dram__bytes_op_read.sum"),
    "dram_write": ("dram__bytes_write.sum", "dram__bytes_op_write.sum"),
    "dram_rate": ("dram__bytes.sum.per_second", "dram__bytes_read.sum.per_second"),
    "l2": (f"lts__throughput.{_ELAPSED}",),
    "l1": (f"l1tex__throughput.{_ELAPSED}", f"l1tex__throughput.{_ACTIVE}"),
    "l1_hit": ("l1tex__t_sector_hit_rate.pct",),
    "l2_hit": ("lts__t_sector_hit_rate.pct",),
    "tensor": (
        f"sm__pipe_tensor_cycles_active.{_ELAPSED}",
        f"sm__pipe_tensor_cycles_active.{_ACTIVE}",
        f"sm__pipe_tensor_subpipe_hmma_cycles_active.{_ELAPSED}",
        f"sm__pipe_tensor_subpipe_hmma_cycles_active.{_ACTIVE}",
        f"sm__pipe_tensor_op_hmma_cycles_active.{_ELAPSED}",
        f"sm__pipe_tensor_op_hmma_cycles_active.{_ACTIVE}",
        f"sm__inst_executed_pipe_tensor.{_ACTIVE}",
    ),
    "fma": (
        f"sm__pipe_fma_cycles_active.{_ELAPSED}",
        f"sm__pipe_fma_cycles_active.{_ACTIVE}",
        f"sm__inst_executed_pipe_fma.{_ELAPSED}",
        f"sm__inst_executed_pipe_fma.{_ACTIVE}",
    ),
    "issue": (
        f"smsp__issue_active.{_ACTIVE}",
        f"sm__issue_active.{_ACTIVE}",
        f"sm__inst_issued.{_ACTIVE}",
        f"sm__inst_issued.{_ELAPSED}",
    ),
    "warps_active": ("smsp__warps_active.avg.per_cycle_active",),
    "warps_eligible": ("smsp__warps_eligible.avg.per_cycle_active",),
    "warp_cycles": ("smsp__average_warp_latency_per_inst_issued.ratio",),
    "sm_active": ("sm__cycles_active.avg",),
    "sm_active_max": ("sm__cycles_active.max",),
    "sm_elapsed": ("sm__cycles_elapsed.avg", "sm__cycles_elapsed.max", "gpc__cycles_elapsed.max"),
    "load_sector_bytes": ("smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.ratio",),
    "load_sector_percent": ("smsp__sass_average_data_bytes_per_sector_mem_global_op_ld.pct",),
    "sectors": ("memory_l2_theoretical_sectors_global",),
    "sectors_ideal": ("memory_l2_theoretical_sectors_global_ideal",),
    "sectors_excess": ("derived__memory_l2_theoretical_sectors_global_excessive",),
    "load_sectors": ("l1tex__t_sectors_pipe_lsu_mem_global_op_ld.sum",),
    "load_requests": ("l1tex__t_requests_pipe_lsu_mem_global_op_ld.sum",),
    "shared_wavefronts": ("memory_l1_wavefronts_shared",),
    "shared_wavefronts_ideal": ("memory_l1_wavefronts_shared_ideal",),
    "shared_wavefronts_excess": ("derived__memory_l1_wavefronts_shared_excessive",),
    "bank_conflicts": ("l1tex__data_bank_conflicts_pipe_lsu_mem_shared.sum",),
    "bank_wavefronts": ("l1tex__data_pipe_lsu_wavefronts_mem_shared.sum",),
    "shared_share": (
        "l1tex__data_pipe_lsu_wavefronts_mem_shared.sum.pct_of_peak_sustained_elapsed",
        f"l1tex__data_pipe_lsu_wavefronts_mem_shared.{_ELAPSED}",
    ),
    "spill_requests": (
        "derived__local_spilling_requests",
        "sass__inst_executed_register_spilling_mem_local",
        "sass__inst_executed_register_spilling",
    ),
    "spill_percent": ("derived__local_spilling_requests_pct",),
    "local_loads": (
        "smsp__sass_inst_executed_op_local_ld.sum",
        "smsp__inst_executed_op_local_ld.sum",
    ),
    "local_stores": (
        "smsp__sass_inst_executed_op_local_st.sum",
        "smsp__inst_executed_op_local_st.sum",
    ),
    "instructions": ("smsp__inst_executed.sum", "sm__inst_executed.sum"),
}
"""Each figure's counters, first choice first."""
OCCUPANCY_LIMITS = {
    "registers": "launch__occupancy_limit_registers",
    "shared_memory": "launch__occupancy_limit_shared_mem",
    "warps": "launch__occupancy_limit_warps",
    "blocks": "launch__occupancy_limit_blocks",
    "barriers": "launch__occupancy_limit_barriers",
}
"""What ends occupancy, to the blocks it would allow on one multiprocessor."""
STALL = re.compile(r"smsp__average_warps_issue_stalled_(\w+?)_per_issue_active\.ratio")
SAMPLED_STALL = re.compile(r"smsp__pcsamp_warps_issue_stalled_(\w+)(?<!_not_issued)")
"""The same by sampling, which the full set collects; it names some reasons otherwise."""
