"""A planted optimum among many configurations: found by halving, and what trying all would take.

    python benchmarks/variants.py [--grid 10 10 2] [--exhaustive 20]
    python benchmarks/variants.py --scripted
    python benchmarks/variants.py --grid 3 3 2 --exhaustive 18

On an NVIDIA GPU a spinning kernel has three constants, `--grid` values of each; how long it spins
depends on them and on the size, so that small and large inputs have optima of their own. One call
evaluates all variants. Trying all means a `sample` of each, in turn: `--exhaustive` says of how
many, chosen at random; the mean of their times is multiplied to all where that is fewer. With
`--scripted`, or without a GPU, no kernel runs: times have noise as a GPU's have, and seconds are
those that the costs below add up to, which is arithmetic and no measurement.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from kernel_harness.tools.evaluation.noise_calibration import SPIN
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Executor, Scope
from kernel_harness.tools.schema.flashinfer_trace import Solution
from kernel_harness.tools.settings import Settings, load_settings
from kernel_harness.tools.tuning.race.halving import RaceTime, race
from kernel_harness.tools.tuning.service import TuningRequest
from kernel_harness.tools.tuning.variants import grid_variants

NAME = "spin_scale_sizes"
SIZES = (4_096, 32_768, 524_288)
SMALL, LARGE = 3, 7
"""The best FIRST for inputs of up to 100,000 elements, and for others; SECOND is best at 4."""
SCRIPTED_EVALUATION_S = 0.9
SCRIPTED_CALL_S = 0.0055
SCRIPTED_SAMPLE_S = 2.5
"""As docs/measured.md has them: an evaluation that is not sealed, a call, a sealed sample."""
SCRIPTED_NOISE = 0.012
SOURCE = f"""{SPIN}
FIRST = 0
SECOND = 0
THIRD = 0


def run(x, y):
    best = SMALL if x.numel() < 100_000 else LARGE
    steps = 600 + 150 * abs(FIRST - best) + 80 * abs(SECOND - 4) + 50 * THIRD
    spin(x, y, steps)
"""
console = Console(width=120)


def program() -> Solution:
    """The kernel with its constants at 0."""
    text = SOURCE.replace("SMALL", str(SMALL)).replace("LARGE", str(LARGE))
    return Solution.model_validate(
        {
            "name": "spinning",
            "definition": NAME,
            "author": "benchmark",
            "spec": {
                "language": "triton",
                "target_hardware": ["cuda"],
                "entry_point": "main.py::run",
            },
            "sources": [{"path": "main.py", "content": text}],
        }
    )


def write_operator(folder: Path) -> Path:
    """A dataset with the one operator."""
    tensor = {"shape": ["n"], "dtype": "float32"}
    definition = {
        "name": NAME,
        "op_type": "calibration",
        "axes": {"n": {"type": "var"}},
        "inputs": {"x": tensor},
        "outputs": {"y": tensor},
        "reference": "def run(x):\n    return x * 2\n",
    }
    (folder / NAME).mkdir(parents=True)
    (folder / NAME / "definition.json").write_text(json.dumps(definition))
    lines = [
        {"uuid": f"spin-{n}", "axes": {"n": n}, "inputs": {"x": {"type": "random"}}} for n in SIZES
    ]
    text = "\n".join(json.dumps({"definition": NAME, "workload": line}) for line in lines)
    (folder / NAME / "workloads.jsonl").write_text(text + "\n")
    return folder


def grid(counts: Sequence[int]) -> dict[str, dict[str, Any]]:
    """That many values of each constant, the optima among them."""
    values = [[SMALL, LARGE, *(n for n in range(10) if n not in (SMALL, LARGE))]]
    values += [[4, *(n for n in range(10) if n != 4)], list(range(10))]
    names = ("FIRST", "SECOND", "THIRD")
    pairs = zip(names, values, counts, strict=True)
    return {"": {name: some[:count] for name, some, count in pairs}}


def optimum(size: int) -> str:
    """The name of the fastest variant at a size."""
    return f"FIRST={SMALL if size < 100_000 else LARGE} SECOND=4 THIRD=0"


async def measured(settings: Settings, counts: Sequence[int], exhaustive: int) -> None:
    """On a GPU: one call for all variants, then some of them one by one."""
    harness = Harness.open(settings)
    await harness.pool.warm(harness.device)
    base = harness.lookup.evaluation_request(solution=program(), scope="sample")
    variants = grid_variants(base.solution, grid(counts))

    async def told(done: float, total: float, message: str) -> None:
        console.print(f"{done:g}/{total:g} {message}", end="\r")

    began = time.perf_counter()
    tuned = await harness.tuning.tune(TuningRequest(variants, base), told)
    taken = time.perf_counter() - began
    console.print(f"{len(variants)} variants in one call: {taken:.1f} s {dict(tuned.seconds)}")
    console.print(f"runs of the race {tuned.runs}, notes {list(tuned.notes)}")
    for regime in tuned.regimes:
        size = regime.axes["n"][0]
        won = tuned.winners.get(regime.name)
        console.print(f"{regime.name}: {won}; planted {optimum(size)}: {won == optimum(size)}")
    chosen = random.Random(1).sample(variants, min(exhaustive, len(variants)))
    seconds = []
    for variant in chosen:
        began = time.perf_counter()
        request = replace(base, solution=variant.solution, scope=Scope.SAMPLE, force=True)
        await harness.evaluations.evaluate(request, 600.0)
        seconds.append(time.perf_counter() - began)
    if seconds:
        whole = statistics.mean(seconds) * len(variants)
        how = "measured" if len(seconds) == len(variants) else f"from {len(seconds)} of them"
        console.print(
            f"each sampled in turn: {whole:.1f} s ({how}); halving is {taken / whole:.2f}"
        )
    await harness.aclose()


async def scripted(counts: Sequence[int]) -> None:
    """The same race on made-up times, with costs added up."""
    variants = grid_variants(program(), grid(counts))
    rng, seconds = random.Random(1), 0.0
    by_name = {variant.name: variant.values for variant in variants}

    async def measure(name: str, regimes: Sequence[str], calls: int) -> dict[str, RaceTime]:
        nonlocal seconds
        seconds += SCRIPTED_EVALUATION_S + SCRIPTED_CALL_S * calls * len(regimes)
        found = {}
        for regime in regimes:
            value = by_name[name]
            best = SMALL if int(regime) < 100_000 else LARGE
            steps = 600 + 150 * abs(value["FIRST"] - best) + 80 * abs(value["SECOND"] - 4)
            true_us = 1.0 + 0.002 * (steps + 50 * value["THIRD"])
            spread = SCRIPTED_NOISE / calls**0.5
            us = true_us * rng.gauss(1, spread)
            found[regime] = RaceTime(us, us * (1 - 2 * spread), us * (1 + 2 * spread))
        return found

    course = await race(list(by_name), [str(size) for size in SIZES], measure, values=by_name)
    for size in SIZES:
        won = course.ranking(str(size))[0]
        console.print(f"n={size}: {won}; planted {optimum(size)}: {won == optimum(size)}")
    winners = {course.ranking(str(size))[0] for size in SIZES}
    seconds += SCRIPTED_SAMPLE_S * len(winners)
    whole = SCRIPTED_SAMPLE_S * len(variants)
    console.print(
        f"scripted, no measurement: {len(variants)} variants, {course.measured} runs and "
        f"{len(winners)} samples cost {seconds:.1f} s; all in turn {whole:.1f} s; "
        f"{seconds / whole:.2f}"
    )


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--grid", type=int, nargs=3, default=(10, 10, 2), metavar="VALUES")
    parser.add_argument("--exhaustive", type=int, default=20, help="configurations tried in turn")
    parser.add_argument("--scripted", action="store_true", help="without a GPU's times")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kernel-harness-variants-") as home:
        folder = write_operator(Path(home, "operators"))
        settings = load_settings({"data_dir": str(Path(home, "data")), "dataset": str(folder)})
        on_gpu = Harness.open(settings).evaluations.executor is Executor.CUDA
        if arguments.scripted or not on_gpu:
            asyncio.run(scripted(arguments.grid))
        else:
            asyncio.run(measured(settings, arguments.grid, arguments.exhaustive))


if __name__ == "__main__":
    main()
