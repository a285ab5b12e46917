"""A/A and known-difference comparisons through the whole pipeline, at three durations.

    python benchmarks/noise_floor.py [--comparisons 100] [--save]

Needs an NVIDIA GPU. A Triton kernel that spins for about 3, 30 and 300 µs is compared with itself,
and with a copy of itself that spins 3 % longer. Each comparison is one workload of one evaluation,
so it goes through the very code that judges candidates. Prints how often a difference is claimed
where there is none, and found where there is one; `--save` keeps the noise floor for this device.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import tempfile

import numpy as np
from rich.console import Console
from rich.table import Table

from kernel_harness.tools.evaluation.noise import write_noise_floor
from kernel_harness.tools.evaluation.plan import CHECKS
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Decision, Evaluation, Scope, Status
from kernel_harness.tools.schema.flashinfer_trace import Definition, Solution, Workload
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.operators import Operator

ELEMENTS = 4096
DURATIONS_US = (3.0, 30.0, 300.0)
SLOWER = 1.03
console = Console(width=140)

SOURCE = """
import triton
import triton.language as tl

@triton.jit
def spin(x, y, steps, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(x + at)
    turning = value
    for _ in range(steps):
        turning = turning * 0.5 + 1.0
    tl.store(y + at, value * 2 + turning * 0.0)

def run(x, y):
    spin[(x.numel() // 128,)](x, y, STEPS, BLOCK=128)
"""


def solution(name: str, steps: int) -> Solution:
    """A kernel that takes a number of dependent steps."""
    return Solution.model_validate(
        {
            "name": name,
            "definition": "spin_scale",
            "author": "benchmark",
            "spec": {
                "language": "triton",
                "target_hardware": ["cuda"],
                "entry_point": "main.py::run",
            },
            "sources": [{"path": "main.py", "content": f"STEPS = {steps}\n{SOURCE}"}],
        }
    )


def operator(count: int) -> Operator:
    """An operator with `count` equal workloads: each is one comparison."""
    definition = Definition.model_validate(
        {
            "name": "spin_scale",
            "op_type": "benchmark",
            "axes": {"n": {"type": "var"}},
            "inputs": {"x": {"shape": ["n"], "dtype": "float32"}},
            "outputs": {"y": {"shape": ["n"], "dtype": "float32"}},
            "reference": "def run(x):\n    return x * 2\n",
        }
    )
    workloads = tuple(
        Workload.model_validate(
            {"uuid": f"spin-{i}", "axes": {"n": ELEMENTS}, "inputs": {"x": {"type": "random"}}}
        )
        for i in range(count)
    )
    return Operator(definition=definition, workloads=workloads)


def harness_with(data_dir: str, count: int) -> Harness:
    """A harness whose only operator is the spinning one."""
    settings = load_settings({"data_dir": data_dir})
    return Harness(settings, Dataset(operators={"spin_scale": operator(count)}, problems=()))


async def compared(harness: Harness, a: Solution, b: Solution) -> Evaluation:
    """All comparisons of candidate `b` with baseline `a`, in one evaluation."""
    from kernel_harness.tools.evaluation.service import EvaluateRequest

    checks = CHECKS[Scope.SAMPLE].model_copy(
        update={"trials": 1, "families": 0, "held_out": 0, "determinism_runs": 0,
                "ghost_replay": False, "warm_calls": 0}
    )  # fmt: skip
    request = EvaluateRequest(
        operator=harness.dataset.operator("spin_scale"),
        solution=b,
        scope=Scope.FULL,
        baseline=a,
        force=True,
        checks=checks,
    )
    evaluation = await harness.evaluations.evaluate(request, harness.device, 3000, None)
    if evaluation.status is not Status.PASSED:
        raise SystemExit(f"{evaluation.status}: {evaluation.failure}")
    return evaluation


async def steps_for(duration_us: float) -> int:
    """Steps that take about `duration_us`, from two probes."""
    with tempfile.TemporaryDirectory() as folder:
        harness = harness_with(folder, 1)
        times = []
        for steps in (100, 2100):
            probe = solution(f"probe-{steps}", steps)
            evaluation = await compared(harness, probe, probe)
            times.append(evaluation.workloads[0].latency_us or math.nan)
        await harness.aclose()
    per_step = (times[1] - times[0]) / 2000
    return max(1, round(100 + (duration_us - times[0]) / per_step))


def log_ratios(evaluation: Evaluation) -> np.ndarray:
    """ln(ratio) of each comparison."""
    return np.array(
        [
            math.log(w.comparison.ratio)
            for w in evaluation.workloads
            if w.comparison and w.comparison.ratio
        ]
    )


def decisions(evaluation: Evaluation) -> dict[Decision, int]:
    """How often each decision was taken."""
    taken = [w.comparison.decision for w in evaluation.workloads if w.comparison]
    return {decision: taken.count(decision) for decision in Decision}


async def measure(count: int) -> tuple[dict[str, float], Table, str]:
    """Runs every comparison; returns the noise floors, the table and the device's name."""
    table = Table(title=f"{count} comparisons each, through the whole pipeline")
    for column in ("duration", "case", "latency µs", "FASTER", "SLOWER", "EQUAL", "INCONCLUSIVE",
                   "p97.5 |ln ratio|", "pairs"):  # fmt: skip
        table.add_column(column)
    floors: dict[str, float] = {}
    device = ""
    for duration in DURATIONS_US:
        steps = await steps_for(duration)
        slow_steps = round(steps * SLOWER)
        for case, b_steps in (("A/A", steps), (f"+{slow_steps / steps - 1:.1%}", slow_steps)):
            with tempfile.TemporaryDirectory() as folder:
                harness = harness_with(folder, count)
                same = solution("a", steps)
                other = same if b_steps == steps else solution("b", b_steps)
                evaluation = await compared(harness, same, other)
                await harness.aclose()
            logs = np.abs(log_ratios(evaluation))
            middle = float(np.median([w.latency_us or 0 for w in evaluation.workloads]))
            taken = decisions(evaluation)
            pairs = [w.comparison.pairs for w in evaluation.workloads if w.comparison]
            quantile = float(np.quantile(logs, 0.975))
            if case == "A/A":
                floors[str(math.floor(math.log10(max(middle, 1))))] = max(0.003, quantile)
            device = evaluation.evidence.device.name if evaluation.evidence.device else ""
            table.add_row(
                f"{duration:g} µs", case, f"{middle:.2f}",
                *(str(taken[d]) for d in (Decision.FASTER, Decision.SLOWER, Decision.EQUAL,
                                          Decision.INCONCLUSIVE)),
                f"{quantile:.3%}", f"{min(pairs)}-{max(pairs)}",
            )  # fmt: skip
    return floors, table, device


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--comparisons", type=int, default=100)
    parser.add_argument("--save", action="store_true", help="keep the floor for this device")
    choices = parser.parse_args()
    floors, table, device = asyncio.run(measure(choices.comparisons))
    console.print(table)
    console.print({"device": device, "floors": floors})
    if choices.save:
        provenance = {"command": "benchmarks/noise_floor.py", "comparisons": choices.comparisons}
        path = write_noise_floor(load_settings(), device, floors, provenance)
        console.print(f"Kept in {path}")


if __name__ == "__main__":
    main()
