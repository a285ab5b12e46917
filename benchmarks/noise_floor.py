"""A/A and known-difference comparisons through the whole pipeline, at three durations.

    python benchmarks/noise_floor.py [--comparisons 100] [--alike-only]

Needs an NVIDIA GPU. A Triton kernel that spins for about 3, 30 and 300 µs is compared with itself,
and with a copy of itself that spins 3 % longer. Each comparison is one workload of one evaluation,
so it goes through the very code that judges candidates. Prints how often a difference is claimed
where there is none, and found where there is one; each duration's rows appear as it is over, and
`--alike-only` leaves the copy out. `kernel-harness calibrate` keeps a floor.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from kernel_harness.tools.devices.gpus import chosen_devices
from kernel_harness.tools.evaluation.judge_pool import JudgePool
from kernel_harness.tools.evaluation.noise_calibration import (
    DURATIONS_US,
    QUANTILE,
    SpinTrials,
    floor_of,
    log_ratios,
    spinning,
)
from kernel_harness.tools.schema.evaluation import Evaluation
from kernel_harness.tools.schema.measurement import Decision
from kernel_harness.tools.settings import load_settings

SLOWER = 1.03
console = Console(width=140)


def decisions(evaluation: Evaluation) -> dict[Decision, int]:
    """How often each decision was taken."""
    taken = [w.comparison.decision for w in evaluation.workloads if w.comparison]
    return {decision: taken.count(decision) for decision in Decision}


def row(duration_us: float, case: str, evaluation: Evaluation) -> list[str]:
    """One line of the table."""
    taken = decisions(evaluation)
    pairs = [w.comparison.pairs for w in evaluation.workloads if w.comparison]
    shown = (Decision.FASTER, Decision.SLOWER, Decision.EQUAL, Decision.INCONCLUSIVE)
    return [
        f"{duration_us:g} µs",
        case,
        f"{np.median([w.latency_us or 0 for w in evaluation.workloads]):.2f}",
        *(str(taken[decision]) for decision in shown),
        f"{np.quantile(np.abs(log_ratios(evaluation)), QUANTILE):.3%}",
        f"{min(pairs)}-{max(pairs)}",
    ]


async def measure(count: int, alike_only: bool) -> tuple[dict[str, float], Table, str]:
    """Runs every comparison; returns the noise floors, the table and the device's name."""
    table = Table(title=f"{count} comparisons each, through the whole pipeline")
    for column in ("duration", "case", "latency µs", "FASTER", "SLOWER", "EQUAL", "INCONCLUSIVE",
                   "p97.5 |ln ratio|", "pairs"):  # fmt: skip
        table.add_column(column)
    floors: dict[str, float] = {}
    device = ""
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings({"data_dir": folder})
        pool = JudgePool(settings)
        trials = SpinTrials(settings, pool, chosen_devices(settings)[0], Path(folder))
        for duration_us in DURATIONS_US:
            steps = await trials.steps_for(duration_us)
            slower = round(steps * SLOWER)
            same, other = spinning("a", steps), spinning("b", slower)
            alike = await trials.compared(same, same, count)
            floors |= [floor_of(alike)]
            rows = [row(duration_us, "A/A", alike)]
            if not alike_only:
                apart = await trials.compared(same, other, count)
                rows.append(row(duration_us, f"+{slower / steps - 1:.1%}", apart))
            for cells in rows:
                table.add_row(*cells)
                console.print(*cells)
            device = alike.evidence.device.name if alike.evidence.device else ""
        await pool.close()
    return floors, table, device


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--comparisons", type=int, default=100)
    parser.add_argument("--alike-only", action="store_true")
    choices = parser.parse_args()
    floors, table, device = asyncio.run(measure(choices.comparisons, choices.alike_only))
    console.print(table)
    console.print({"device": device, "floors": floors})


if __name__ == "__main__":
    main()
