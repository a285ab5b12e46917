"""How near a latency came to each floor of its device.

Pure. It divides what the record holds and decides nothing.
"""

from __future__ import annotations

from ..tools.devices.roofline import sol_exec_bench_score_guarded, sol_percent
from ..tools.schema.evaluation import WorkloadResult


def sol_percents(result: WorkloadResult) -> dict[str, float]:
    """Each floor over the latency, in percent; nothing for a workload without a latency."""
    found = {
        kind: sol_percent(floor, result.latency_us)
        for kind, floor in result.device_floors_us.items()
    }
    return {kind: round(percent, 1) for kind, percent in found.items() if percent is not None}


def sol_exec_bench(result: WorkloadResult) -> float | None:
    """SOL-ExecBench's number against the baseline; None where its formula has no meaning."""
    floor = result.device_floors_us.get("nominal")
    if floor is None or result.latency_us is None or result.baseline_latency_us is None:
        return None
    score = sol_exec_bench_score_guarded(result.latency_us, result.baseline_latency_us, floor).value
    return None if score is None else round(score, 4)
