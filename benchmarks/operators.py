"""Latencies of every operator's candidates and peers side by side, in one run on one device.

    python benchmarks/operators.py [OPERATOR ...] [--only NAME ...] [--scope sample]
                                   [--inputs FAMILY ...] [--each SECONDS] [--bundle FILE]
                                   [--out FOLDER]

Needs an NVIDIA GPU. For each operator it evaluates the shipped solutions, the fastest candidate of
its history (`kernels/<operator>/history.bundle` or `--bundle`), and the peers. A peer whose package
is missing says so, and one that names other GPUs in `target_hardware` is not run. `--only`
evaluates those alone that it names, by name or by kind (shipped, fastest, peer). Where the policy
offers other inputs than those that rank, as even routing beside a skewed one, each family has a
table; `--inputs` names those to take. Means are over the operator's workloads, weighted where
`sample` stands for all; they are sealed where every time of candidate and baseline is. `called` is
the call as the candidate's process makes it, `clean` the call with an L2 that holds no modified
lines, `own` what kernels take that are neither PyTorch's nor copies: of a peer its library's.
`error` is the largest norm of an error, over the oracle's output. An evaluation that is not over
after `--each` seconds is given up. `--out` receives the rows as `operators.json` and the archive as
`history.bundle`, with the peers in it as candidates of the technique `peer`: the page of searches
shows them beside the others.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kernel_harness.tools.archive.report.board_rows import (
    largest_error,
    mean_over_workloads,
    own_kernels_us,
)
from kernel_harness.tools.archive.store.transfer import fetch, write_bundle
from kernel_harness.tools.devices.gpus import gpu_of
from kernel_harness.tools.devices.targets import suits
from kernel_harness.tools.errors import HarnessError
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Evaluation, Scope, Status, WorkloadResult
from kernel_harness.tools.schema.flashinfer_trace import Solution
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.workloads.operators import Operator

KERNELS = Path(__file__).resolve().parents[1] / "kernels"
HISTORY = "history.bundle"
PEER = "peer"
COLUMNS = (
    *("candidate", "kind", "status", "times", "mean", "called", "clean", "own", "ratio", "error"),
    "why",
)
RANKED = ""
"""Stands for the family of inputs that ranks where a policy names none."""
console = Console(width=170)


@dataclass(frozen=True)
class Row:
    """What one candidate or peer took on one operator."""

    operator: str
    name: str
    kind: str
    status: str
    times: str = ""
    mean_us: float | None = None
    called_us: float | None = None
    clean_us: float | None = None
    own_us: float | None = None
    ratio: float | None = None
    error: float | None = None
    words: str = ""
    inputs: str = ""


def chosen(
    harness: Harness, operator: Operator, only: list[str] | None
) -> list[tuple[str, str, Solution]]:
    """Name, kind and solution of those whose name or kind is in `only`; of all without it.

    Raises:
        SystemExit: when none is named so.
    """
    known = list(contenders(harness, operator))
    found = [one for one in known if only is None or {one[0], one[1]} & set(only)]
    if known and not found:
        names = ", ".join(f"{name} ({kind})" for name, kind, _ in known)
        raise SystemExit(f"{operator.name} has none of {only}. It has: {names}.")
    return found


def timed_inputs(operator: Operator, asked: list[str] | None) -> list[str]:
    """The families of inputs to time on, that which ranks first; those of `asked` alone.

    Raises:
        SystemExit: when the operator offers none of them.
    """
    offered = list(operator.policy.input_families) or [RANKED]
    found = [family for family in offered if not asked or family in asked]
    if not found:
        raise SystemExit(f"{operator.name} has none of {asked}. It offers: {', '.join(offered)}.")
    return found


def contenders(harness: Harness, operator: Operator) -> Iterator[tuple[str, str, Solution]]:
    """Yields name, kind and solution of all that is compared."""
    for name, solution in operator.solutions().items():
        yield name, "shipped", solution
    for best in best_candidates(harness, operator):
        yield best.name, "fastest", best
    for name, solution in operator.peers().items():
        yield name, PEER, solution


def best_candidates(harness: Harness, operator: Operator) -> list[Solution]:
    """The candidate of the least sealed latency, if there is one.

    A promotion in a history that is fetched is another archive's decision and does not count here.
    """
    best = harness.archive.best(operator.name)
    return [harness.archive.read(best).solution()] if best is not None else []


def row_of(
    operator: Operator, name: str, kind: str, evaluation: Evaluation, inputs: str = RANKED
) -> Row:
    """The figures of one evaluation."""
    totals, sealing = evaluation.totals, evaluation.sealing
    words = evaluation.not_timed_reason or ""
    if evaluation.failure is not None:
        words = evaluation.failure.message
    return Row(
        operator=operator.name,
        name=name,
        kind=kind,
        status=evaluation.status.value,
        times=str(sealing.source) if sealing is not None else "",
        mean_us=totals.estimated_full_mean_us or totals.mean_latency_us,
        called_us=mean_over_workloads(evaluation, lambda workload: workload.called_us),
        clean_us=mean_over_workloads(evaluation, _clean_us),
        own_us=mean_over_workloads(evaluation, own_kernels_us),
        error=largest_error(evaluation),
        ratio=totals.geometric_mean_ratio,
        words=words,
        inputs=inputs,
    )


def _clean_us(workload: WorkloadResult) -> float | None:
    measurement = workload.measurement
    clean = measurement.clean_ns if measurement is not None else []
    return statistics.median(clean) / 1e3 if clean else None


def show(operator: str, rows: list[Row], baseline: str) -> None:
    """Prints an operator's table for each family of inputs, the fastest first."""
    for inputs in dict.fromkeys(row.inputs for row in rows):
        on = f" on inputs {inputs}" if inputs else ""
        table = Table(title=f"{operator}{on}: mean in microseconds; ratio to {baseline}")
        for column in COLUMNS:
            table.add_column(column)
        own = [row for row in rows if row.inputs == inputs]
        for row in sorted(own, key=lambda row: row.mean_us or float("inf")):
            figures = [
                f"{value:.2f}" if value is not None else "–"
                for value in (row.mean_us, row.called_us, row.clean_us, row.own_us, row.ratio)
            ]
            figures.append(f"{row.error:.1e}" if row.error is not None else "–")
            table.add_row(row.name, row.kind, row.status, row.times, *figures, row.words[:80])
        console.print(table)


async def run(choices: argparse.Namespace) -> list[Row]:
    """Evaluates and prints operator after operator; ends early when the time is over."""
    ends = time.monotonic() + choices.seconds
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness.open(load_settings({"data_dir": folder}))
        for name in choices.operators or sorted(p.parent.name for p in KERNELS.glob("*/oracle.py")):
            operator = harness.dataset.operator(name)
            bundle = choices.bundle or KERNELS / operator.name / HISTORY
            if bundle.is_file():
                fetch(harness.archive, str(bundle))
            found: list[Row] = []
            programs = chosen(harness, operator, choices.only)
            for inputs in timed_inputs(operator, choices.inputs):
                for contender in programs:
                    left = time.monotonic() < ends
                    found.append(
                        await compared(harness, operator, contender, inputs, choices)
                        if left
                        else not_run(operator, contender, inputs, "no time left")
                    )
            baseline = operator.baseline(cpu=harness.device == "cpu")
            show(operator.name, found, baseline.name if baseline else "nothing")
            rows += found
            if choices.out:
                choices.out.mkdir(parents=True, exist_ok=True)
                write_bundle(harness.archive, choices.out / HISTORY)
                said = json.dumps([asdict(row) for row in rows], indent=1)
                (choices.out / "operators.json").write_text(said)
        await harness.aclose()
    return rows


def not_run(
    operator: Operator, contender: tuple[str, str, Solution], inputs: str, words: str
) -> Row:
    """The row of a program that was not evaluated, and why."""
    name, kind, _ = contender
    return Row(operator.name, name, kind, "NOT_RUN", words=words, inputs=inputs)


async def compared(
    harness: Harness,
    operator: Operator,
    contender: tuple[str, str, Solution],
    inputs: str,
    choices: argparse.Namespace,
) -> Row:
    """The row of one program, which is evaluated; a peer that was judged is archived."""
    name, kind, solution = contender
    gpu, hardware = gpu_of(harness.device), solution.spec.target_hardware
    if gpu is not None and not suits(hardware, gpu.compute_capability):
        return not_run(operator, contender, inputs, f"for {' and '.join(hardware)} alone")
    try:
        async with asyncio.timeout(choices.each):
            request = harness.lookup.evaluation_request(
                solution=solution, scope=choices.scope, input_family=inputs or None
            )
            evaluated = await harness.evaluations.evaluate(request, choices.each + 60)
    except TimeoutError:
        return not_run(operator, contender, inputs, f"not over after {choices.each:g} s")
    except HarnessError as error:
        return not_run(operator, contender, inputs, str(error))
    evaluation = evaluated.evaluation
    if choices.out and kind == PEER and evaluation.status is not Status.RUNNING:
        harness.archiving.archive_candidate(
            solution,
            evaluation.evaluation_id,
            f"What {name} takes on the same clock" + (f", on inputs {inputs}." if inputs else "."),
            parents=[],
            tags=[PEER],
        )
    return row_of(operator, name, kind, evaluation, inputs)


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("operators", nargs="*", help="names or parts of them; all without any")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="names or kinds to evaluate")
    parser.add_argument("--inputs", nargs="+", metavar="FAMILY", help="families of inputs to take")
    parser.add_argument("--scope", default="sample", choices=[Scope.SAMPLE, Scope.FULL])
    parser.add_argument("--bundle", type=Path, help="an archive instead of the operators' own")
    parser.add_argument("--seconds", type=float, default=1800.0, help="begin nothing after it")
    parser.add_argument("--each", type=float, default=300.0, help="seconds for one evaluation")
    parser.add_argument("--out", type=Path, help="receives the rows, and an archive with the peers")
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
