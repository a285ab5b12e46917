"""Judges and scores twenty tasks in KernelBench's form, with right, slow and wrong candidates.

    python benchmarks/suite_round.py --out FOLDER [--seconds 230] [--scope sample] [--reduce-by N]

The tasks are our own (`suite_tasks.py`). They are imported as `kernel-harness import kernelbench`
does, each candidate is judged by the service behind evaluate_kernel, and the table of each kind is
that of `kernel-harness score kernelbench`, with fast_p. When `--seconds` are nearly over no further
evaluation is begun, and the tables say what has no verdict. Without a GPU give `--reduce-by 64`:
nothing is timed then, but every verdict is the same.

It ends with 1 when a right or slow candidate is refused, a wrong one passes, or a slow one is as
fast as the right one of its task. `suite_round.json` holds every row, `suite_round.svg` the curve.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from suite_tasks import KINDS, write_suite

from kernel_harness.tools.errors import HarnessError
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Evaluation, Status
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.suites.kernelbench import SUITE, import_kernelbench
from kernel_harness.tools.suites.scores.curve_plot import draw_curves
from kernel_harness.tools.suites.scores.fast_p import fast_p_score
from kernel_harness.tools.suites.scores.score_table import score_lines
from kernel_harness.tools.workloads.solution_folder import read_solution

console = Console(width=170, markup=False, highlight=False)
TO_CLOSE_S = 10.0
FIRST_GUESS_S = 20.0
"""Seconds that the first evaluation is expected to take, start of the judge included."""


@dataclass
class SuiteRow:
    """What became of one candidate."""

    task: str
    kind: str
    status: str = "SKIPPED"
    latency_us: float | None = None
    baseline_us: float | None = None
    speedup: float | None = None
    sealed: bool = False
    words: str = ""
    seconds: float = 0.0

    @property
    def fault(self) -> str:
        """What is not as it must be, in words; empty for nothing."""
        if self.status in ("SKIPPED", Status.PARTIAL):
            return ""
        passed = self.status == Status.PASSED
        if passed is (self.kind == "wrong"):
            return f"{self.task}: the {self.kind} candidate is {self.status}. {self.words}"
        return ""


def _row(kind: str, record: Evaluation, seconds: float) -> SuiteRow:
    first = record.workloads[0] if record.workloads else None
    row = SuiteRow(record.definition, kind, str(record.status), seconds=round(seconds, 2))
    if first is not None:
        row.latency_us, row.baseline_us = first.latency_us, first.baseline_latency_us
    row.speedup = record.totals.geometric_mean_ratio
    row.sealed = record.sealing is not None and record.sealing.source == "sealed"
    row.words = record.failure.message[:300] if record.failure else ""
    return row


async def judge_all(
    harness: Harness, folders: list[Path], choices: argparse.Namespace
) -> tuple[list[SuiteRow], list[Evaluation]]:
    """Evaluates the candidates, right ones first, for as long as there is time."""
    ends = time.monotonic() + choices.seconds - TO_CLOSE_S
    rows: list[SuiteRow] = []
    records: list[Evaluation] = []
    most = FIRST_GUESS_S
    for folder in folders:
        kind, task = folder.name.split("-")[0], folder.parent.parent.name
        if ends - time.monotonic() < most:
            rows.append(SuiteRow(task, kind, words="no time left"))
            continue
        began = time.monotonic()
        request = harness.lookup.evaluation_request(
            solution=read_solution(folder, author="suite"), scope=choices.scope
        )
        try:
            found = await harness.evaluations.evaluate(request, choices.seconds)
            records.append(found.evaluation)
            rows.append(_row(kind, found.evaluation, time.monotonic() - began))
        except HarnessError as error:
            rows.append(SuiteRow(task, kind, "NOT_RUN", words=str(error)))
        took = time.monotonic() - began
        most = took * 2 if len(rows) > 1 else most / 2
        _tell(rows[-1])
    return rows, records


def _tell(row: SuiteRow) -> None:
    time_us = "" if row.latency_us is None else f"{row.latency_us:10.2f} us"
    ratio = "" if row.speedup is None else f"{row.speedup:6.2f}x"
    clock = "sealed" if row.sealed else ""
    console.print(
        f"{row.task:36} {row.kind:6} {row.status:20} {time_us:13} {ratio:8} {clock:6} "
        f"{row.seconds:6.1f} s  {row.words[:90]}"
    )


def faults_of(rows: list[SuiteRow]) -> list[str]:
    """What is not as it must be, in words."""
    found = [row.fault for row in rows if row.fault]
    right = {row.task: row.latency_us for row in rows if row.kind == "right"}
    for row in rows:
        fastest = right.get(row.task)
        if row.kind == "slow" and row.latency_us and fastest and row.latency_us <= fastest:
            found.append(f"{row.task}: the slow candidate is as fast as the right one")
    return found


async def run(choices: argparse.Namespace) -> list[str]:
    """Goes through the round; what is not as it must be."""
    choices.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        kinds = write_suite(place)
        imported = import_kernelbench(
            place / "tasks", place / "operators", candidates=kinds, reduce_by=choices.reduce_by
        )
        console.print(f"{len(imported.operators)} tasks, {len(imported.candidates)} candidates.")
        settings = {"data_dir": str(place), "dataset": [str(imported.folder)]}
        harness = Harness.open(load_settings(settings))
        order = [f for kind in KINDS for f in imported.candidates if f.name.startswith(kind)]
        order = [f for f in order if choices.only in f.parent.parent.name]
        try:
            rows, records = await judge_all(harness, order, choices)
        finally:
            await harness.aclose()
        scores = {
            kind: fast_p_score(SUITE, imported.folder, records, solution=f"{kind}-")
            for kind in KINDS
        }
        for kind, score in scores.items():
            console.print(f"\n{kind}\n" + "\n".join(score_lines(score, "KernelBench's form")))
        if scores["right"].timed:
            draw_curves(
                [replace(scores[kind].curves()[-1], name=kind) for kind in ("right", "slow")],
                choices.out / "suite_round.svg",
                "Tasks of our own in KernelBench's form: right and slow candidates",
                "p: times as fast as the baseline",
            )
    text = json.dumps([asdict(row) for row in rows], indent=1)
    (choices.out / "suite_round.json").write_text(text, encoding="utf-8")
    left = [f"not imported: {name}: {why}" for name, why in imported.left_out.items()]
    return [*left, *faults_of(rows)]


def main() -> None:
    """Runs the round."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="receives rows and the curve")
    parser.add_argument("--seconds", type=float, default=230.0, help="longest it may take")
    parser.add_argument("--scope", default="sample", help="smoke, sample or full")
    parser.add_argument("--reduce-by", type=int, default=1, help="divides sizes, for the CPU")
    parser.add_argument("--only", default="", help="a part of the tasks' names")
    faults = asyncio.run(run(parser.parse_args()))
    console.print("\n" + ("\n".join(faults) or "Every verdict that was reached is as it must be."))
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
