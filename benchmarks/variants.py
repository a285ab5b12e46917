"""A planted optimum among many configurations: found by halving, and what trying all would take.

    python benchmarks/variants.py [--grid 10 10 2] [--exhaustive 20]
    python benchmarks/variants.py --scripted [--decode] [--repeat 100] [--run-noise 0.03]
    python benchmarks/variants.py --grid 3 3 2 --exhaustive 18

On an NVIDIA GPU a spinning kernel has three constants, `--grid` values of each; how long it spins
depends on them and on the size, so that small and large inputs have optima of their own. One call
evaluates all variants, with `--warm` after one evaluation of the program itself. Trying all means a
`sample` of each, in turn: `--exhaustive` says of how many, chosen at random; the mean of their
times is multiplied to all where that is fewer. With `--scripted`, or without a GPU, no kernel runs:
times have noise as a GPU's have, and seconds are those that the costs below add up to, which is
arithmetic and no measurement; `--repeat` races as often with other noise, and says how often the
optimum was found, and how much longer than it the winners take. `--decode` has the measured times
of a kernel with ties, variants within 1 to 3 %, and four sizes, in place of planted ones.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from kernel_harness.tools.evaluation.noise_calibration import SPIN
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Executor, Scope
from kernel_harness.tools.schema.flashinfer_trace import Solution
from kernel_harness.tools.schema.measurement import Decision
from kernel_harness.tools.settings import Settings, load_settings
from kernel_harness.tools.tuning.race.finals import Lead, Paired, order_finalists
from kernel_harness.tools.tuning.race.halving import RaceTime, race
from kernel_harness.tools.tuning.results import Tuned
from kernel_harness.tools.tuning.service import COMPILED_FIRST, TuningRequest
from kernel_harness.tools.tuning.variants import grid_variants
from kernel_harness.tools.workloads.solution_folder import write_solution

NAME = "spin_scale_sizes"
SIZES = (4_096, 32_768, 524_288)
BASELINE = "spinning"
SMALL, LARGE = 3, 7
"""The best FIRST for inputs of up to 100,000 elements, and for others; SECOND is best at 4."""
SCRIPTED_RUN_S = 0.40
SCRIPTED_PAIR_S = 0.68
SCRIPTED_SAMPLE_S = 1.84
SCRIPTED_COMPILED_S = 0.074
"""As on one H200: a run of the race, one of two programs, a sample, one after the other."""
SCRIPTED_US = (0.86, 0.00465), (2.8, 0.0304)
"""Of a small size and of a large one, the least and what a step adds: fitted to 105 variants."""
SCRIPTED_CALL_NOISE = 0.012
SLOW = 0.10, 0.27
"""How much longer a slow run takes: where power has lowered the clock from 1,980 to 1,560 MHz."""
SCRIPTED_PAIR_NOISE = 0.005
"""Of the median ratio of calls in turn, in one pair of processes."""
SCRIPTED_JITTER_US, SCRIPTED_PAIR_JITTER_US = 0.06, 0.03
"""What is added to a run's time, and to the noise of a pair's ratio, however short a call is."""
DECODE_US = {
    (8, 1): (3.26, 4.96, 10.54, 19.49),
    (8, 2): (4.06, 5.23, 12.42, 20.74),
    (8, 4): (3.62, 5.09, 11.95, 20.96),
    (16, 1): (3.04, 4.61, 12.13, 20.53),
    (16, 2): (3.87, 5.17, 12.35, 20.83),
    (16, 4): (3.39, 4.70, 11.58, 20.72),
    (32, 1): (5.41, 5.89, 11.15, 20.98),
    (32, 2): (5.01, 6.06, 11.44, 21.55),
    (32, 4): (4.10, 5.47, 13.07, 22.15),
}
"""Of a gated delta net's decode kernel on one H200, by the values that a program takes and its
warps, at four sizes."""
LEAST_SHOWN_S = 0.005
PAUSE_S = 3.0
"""Before the variants: an agent thinks for longer."""
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
            "name": BASELINE,
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
    """A dataset with the one operator, whose own baseline is the kernel with its constants at 0."""
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
    write_solution(program(), folder / NAME / "solutions" / BASELINE)
    (folder / NAME / "policy.toml").write_text(f'baseline = "{BASELINE}"\n')
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


async def measured(
    settings: Settings, counts: Sequence[int], exhaustive: int, *, warm: bool
) -> None:
    """On a GPU: one call for all variants, then some of them one by one."""
    harness = Harness.open(settings)
    await harness.pool.warm(harness.device)
    base = harness.lookup.evaluation_request(solution=program(), scope="sample")
    variants = grid_variants(base.solution, grid(counts))

    async def told(done: float, total: float, message: str) -> None:
        console.print(f"{time.perf_counter() - began:6.2f} s {done:g}/{total:g} {message}")

    if warm:
        began = time.perf_counter()
        await harness.evaluations.evaluate(base, 600.0)
        console.print(f"a first evaluation: {time.perf_counter() - began:.1f} s, then a pause")
        await asyncio.sleep(PAUSE_S)
    began = time.perf_counter()
    tuned = await harness.tuning.tune(TuningRequest(variants, base), told)
    taken = time.perf_counter() - began
    console.print(f"{len(variants)} variants in one call: {taken:.1f} s {dict(tuned.seconds)}")
    console.print(f"runs of the race {tuned.runs}, notes {list(tuned.notes)}")
    console.print("\n".join(parts_of(harness, tuned)))
    for result in tuned.results:
        shown = {name: round(timed.us, 3) for name, timed in result.times.items()}
        console.print(f"{result.variant.name} {result.state} {shown} {result.words}")
    for leads in tuned.leads.values():
        for lead in leads:
            console.print(
                f"{lead.first} before {lead.second}: {lead.ratio:.4f} "
                f"({lead.low:.4f} to {lead.high:.4f}) {lead.decision}"
            )
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


def parts_of(harness: Harness, tuned: Tuned) -> list[str]:
    """By kind of evaluation how many there were, and the mean seconds of what the judge did."""
    kinds: dict[str, list[dict[str, float]]] = {}
    for result in tuned.results:
        for identity in result.evaluations:
            evidence = harness.evaluations.records.get(identity).evidence
            paired = " beside another" if "compare_to=" in evidence.command else ""
            scope = evidence.command.partition("scope=")[2].partition(" ")[0]
            kinds.setdefault(f"{scope}{paired}", []).append(evidence.seconds)
    found = []
    for kind, some in kinds.items():
        stages = dict.fromkeys(stage for seconds in some for stage in seconds)
        means = {s: sum(seconds.get(s, 0.0) for seconds in some) / len(some) for s in stages}
        shown = ", ".join(f"{s} {mean:.3f}" for s, mean in means.items() if mean >= LEAST_SHOWN_S)
        found.append(f"{kind}: {len(some)} of {shown}")
    return found


def spinning_us(values: Mapping[str, Any], size: int) -> float:
    """What the kernel with these constants would take."""
    best = SMALL if size < 100_000 else LARGE
    steps = 600 + 150 * abs(values["FIRST"] - best) + 80 * abs(values["SECOND"] - 4)
    fixed, per_step = SCRIPTED_US[size >= 100_000]
    return fixed + per_step * (steps + 50 * values["THIRD"])


@dataclass(frozen=True)
class Truth:
    """Variants and what they would take if nothing disturbed them.

    Attributes:
        values: of each variant's constants.
        us: by variant and regime.
    """

    values: Mapping[str, Mapping[str, Any]]
    us: Mapping[str, Mapping[str, float]]

    @property
    def regimes(self) -> list[str]:
        """The names of the regimes."""
        return list(next(iter(self.us.values())))

    def loss(self, name: str, regime: str) -> float:
        """How much longer than the fastest a variant takes, as a share of its time."""
        return self.us[name][regime] / min(us[regime] for us in self.us.values()) - 1


def planted(counts: Sequence[int]) -> Truth:
    """The spinning kernel's variants."""
    variants = {v.name: v.values for v in grid_variants(program(), grid(counts))}
    us = {name: {str(n): spinning_us(v, n) for n in SIZES} for name, v in variants.items()}
    return Truth(variants, us)


def decode() -> Truth:
    """A decode kernel's variants, as measured: each twice, for its stages change nothing."""
    values, us = {}, {}
    for (block, warps), times in DECODE_US.items():
        for stages in (1, 2):
            name = f"VALUES={block} num_warps={warps} num_stages={stages}"
            values[name] = {"VALUES": block, "num_warps": warps, "num_stages": stages}
            us[name] = dict(zip(("1-4", "8-16", "32", "48-64"), times, strict=True))
    return Truth(values, us)


class ScriptedTimes:
    """Made-up times of the variants, and the seconds that taking them would cost."""

    def __init__(self, truth: Truth, run_noise: float, slow_runs: float, seed: int) -> None:
        self._truth, self._run_noise, self._slow_runs = truth, run_noise, slow_runs
        self._rng = random.Random(seed)
        self.seconds = 0.0

    async def alone(self, name: str, regimes: Sequence[str], calls: int) -> dict[str, RaceTime]:
        """One run: what slows it down slows all its calls."""
        self.seconds += SCRIPTED_RUN_S
        slow, spread = self._rng.gauss(0, self._run_noise), SCRIPTED_CALL_NOISE / calls**0.5
        if self._rng.random() < self._slow_runs:
            slow += self._rng.uniform(*SLOW)
        found = {}
        for regime in regimes:
            true_us = self._truth.us[name][regime]
            us = true_us * (1 + slow) * self._rng.gauss(1, spread)
            us += self._rng.gauss(0, SCRIPTED_JITTER_US)
            found[regime] = RaceTime(us, us * (1 - 2 * spread), us * (1 + 2 * spread))
        return found

    async def beside(self, first: str, second: str, regimes: Sequence[str]) -> Paired:
        """Calls of two in turn."""
        self.seconds += SCRIPTED_PAIR_S
        leads = {}
        for regime in regimes:
            true_us = self._truth.us[first][regime]
            ratio = self._truth.us[second][regime] / true_us
            ratio *= self._rng.gauss(1, SCRIPTED_PAIR_NOISE + SCRIPTED_PAIR_JITTER_US / true_us)
            decision = Decision.FASTER if ratio > 1 else Decision.SLOWER
            leads[regime] = Lead(first, second, ratio, ratio, ratio, decision)
        return Paired(leads)


async def scripted(truth: Truth, repeat: int, run_noise: float, slow_runs: float) -> None:
    """The same races on made-up times, with costs added up."""
    names, regimes = list(truth.us), truth.regimes
    losses: list[float] = []
    runs, meetings, seconds = 0, 0, 0.0
    for seed in range(repeat):
        times = ScriptedTimes(truth, run_noise, slow_runs, seed)
        course = await race(names, regimes, times.alone, values=truth.values)
        runs += course.measured
        meetings -= course.measured
        await order_finalists(course, times.beside)
        meetings += course.measured
        winners = {regime: course.ranking(regime)[0] for regime in regimes}
        losses += [truth.loss(name, regime) for regime, name in winners.items()]
        compiled = SCRIPTED_COMPILED_S * len(names) if len(names) >= COMPILED_FIRST else 0.0
        seconds += compiled + times.seconds + SCRIPTED_SAMPLE_S * len(set(winners.values()))
    whole = SCRIPTED_SAMPLE_S * len(names)
    console.print(
        f"scripted, no measurement: {len(names)} variants, runs of one program differ by "
        f"{run_noise:.1%}, and {slow_runs:.0%} are slow: {losses.count(0.0)} of {len(losses)} "
        f"optima found, winners take {statistics.mean(losses):.3%} longer, {max(losses):.1%} at "
        f"worst; a race takes {runs / repeat:.1f} runs, {meetings / repeat:.1f} meetings and "
        f"{seconds / repeat:.1f} s; all in turn {whole:.1f} s; {seconds / repeat / whole:.2f}"
    )


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--grid", type=int, nargs=3, default=(10, 10, 2), metavar="VALUES")
    parser.add_argument("--exhaustive", type=int, default=20, help="configurations tried in turn")
    parser.add_argument("--warm", action="store_true", help="after an evaluation of the program")
    parser.add_argument("--scripted", action="store_true", help="without a GPU's times")
    parser.add_argument("--decode", action="store_true", help="scripted: a decode kernel's times")
    parser.add_argument("--repeat", type=int, default=1, help="scripted races")
    parser.add_argument("--run-noise", type=float, default=0.02, help="between scripted runs")
    parser.add_argument(
        "--slow-runs", type=float, default=0.05, help="share that takes a tenth to a quarter longer"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kernel-harness-variants-") as home:
        folder = write_operator(Path(home, "operators"))
        settings = load_settings({"data_dir": str(Path(home, "data")), "dataset": str(folder)})
        on_gpu = Harness.open(settings).evaluations.executor is Executor.CUDA
        if arguments.scripted or not on_gpu:
            noise = arguments.run_noise, arguments.slow_runs
            truth = decode() if arguments.decode else planted(arguments.grid)
            asyncio.run(scripted(truth, arguments.repeat, *noise))
        else:
            work = measured(settings, arguments.grid, arguments.exhaustive, warm=arguments.warm)
            asyncio.run(work)


if __name__ == "__main__":
    main()
