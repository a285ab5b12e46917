"""Judges and scores twenty tasks in KernelBench's form, with right, slow and wrong candidates.

    python benchmarks/suite_round.py --out FOLDER [--seconds 230] [--scope sample] [--reduce-by N]

The tasks are our own (`suite_tasks.py`). They are imported as `kernel-harness import kernelbench`
does, each candidate is judged by the service behind evaluate_kernel, and the table of each kind is
that of `kernel-harness score kernelbench`, with fast_p. When `--seconds` are nearly over no further
evaluation is begun, and the tables say what has no verdict. Each task's candidates follow one
another, the right one first, for the judge keeps the last operator's baseline: its runner, its plan
and its inputs serve the slow one, too; a wrong one is never timed. Without a GPU give
`--reduce-by 64`: nothing is timed then, but every verdict is the same.

It ends with 1 when a verdict is not the one due, or a slow candidate is as fast as the right one of
its task, and with 3 when the time did not suffice for all. `suite_round.json` holds every row; it
is written anew after each, so that a round which is stopped leaves what it has. `suite_round.svg`
has the curves.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from suite_tasks import write_suite

from kernel_harness.tools.errors import HarnessError
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Evaluation, Status
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.suites.kernelbench import SUITE, import_kernelbench
from kernel_harness.tools.suites.scores.curve_plot import draw_curves
from kernel_harness.tools.suites.scores.fast_p import fast_p_score
from kernel_harness.tools.suites.scores.outcomes import Counting
from kernel_harness.tools.suites.scores.score_table import score_lines
from kernel_harness.tools.workloads.solution_folder import read_solution

console = Console(width=170, markup=False, highlight=False, soft_wrap=True)
DUE = {
    "right": Status.PASSED,
    "wrong": Status.INCORRECT_NUMERICAL,
    "slow": Status.PASSED,
}
"""The verdict due to each kind of candidate, in the order in which a task's are judged."""
UNDECIDED = ("SKIPPED", Status.PARTIAL, Status.RUNNING)
"""What a candidate has that the round's time did not suffice for."""
TO_CLOSE_S = 10.0
DISAGREES, INCOMPLETE = 1, 3


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
    def due(self) -> str:
        """The verdict that it must get."""
        return str(DUE[self.kind])

    @property
    def undecided(self) -> bool:
        """Whether the time did not suffice for a verdict."""
        return self.status in UNDECIDED

    @property
    def fault(self) -> str:
        """What is not as it must be, in words; empty for nothing."""
        if self.undecided or self.status == self.due:
            return ""
        return f"{self.task}: the {self.kind} candidate is {self.status}. {self.words}"


def _row(kind: str, record: Evaluation, seconds: float) -> SuiteRow:
    first = record.workloads[0] if record.workloads else None
    row = SuiteRow(record.definition, kind, str(record.status), seconds=round(seconds, 2))
    if first is not None:
        row.latency_us, row.baseline_us = first.latency_us, first.baseline_latency_us
    row.speedup = record.totals.geometric_mean_ratio
    row.sealed = record.sealing is not None and record.sealing.source == "sealed"
    row.words = record.failure.message[:300] if record.failure else ""
    return row


def _by_task(folder: Path) -> tuple[str, int]:
    """The place of a candidate in the round: beside the others of its task."""
    return folder.parent.parent.name, [*DUE].index(folder.name.split("-")[0])


async def judge_all(
    harness: Harness, folders: Sequence[Path], scope: str, ends: float, out: Path
) -> tuple[list[SuiteRow], list[Evaluation]]:
    """Evaluates the candidates in their order until the time ends; rows and records."""
    rows: list[SuiteRow] = []
    records: list[Evaluation] = []
    for folder in folders:
        kind, task = folder.name.split("-")[0], folder.parent.parent.name
        began = time.monotonic()
        if began >= ends:
            rows.append(SuiteRow(task, kind, words="no time left"))
            continue
        request = harness.lookup.evaluation_request(
            solution=read_solution(folder, author="suite"), scope=scope
        )
        try:
            record = (await harness.evaluations.evaluate(request, ends - began)).evaluation
            rows.append(_row(kind, record, time.monotonic() - began))
            if not rows[-1].undecided:
                records.append(record)
        except HarnessError as error:
            rows.append(SuiteRow(task, kind, "NOT_RUN", words=str(error)))
        _tell(rows[-1])
        _write(rows, out)
    return rows, records


def _write(rows: Sequence[SuiteRow], out: Path) -> None:
    text = json.dumps([asdict(row) for row in rows], indent=1)
    (out / "suite_round.json").write_text(text, encoding="utf-8")


def _tell(row: SuiteRow) -> None:
    time_us = "" if row.latency_us is None else f"{row.latency_us:10.2f} us"
    ratio = "" if row.speedup is None else f"{row.speedup:6.2f}x"
    clock = "sealed" if row.sealed else ""
    words = " ".join(row.words.split())[:90]
    console.print(
        f"{row.task:36} {row.kind:6} {row.status:20} {time_us:13} {ratio:8} {clock:6} "
        f"{row.seconds:6.1f} s  {words}"
    )


def verdict_table(rows: Sequence[SuiteRow]) -> Table:
    """Each task with its verdicts beside those due, a fault marked, and its seconds."""
    table = Table("task", *(f"{kind}: {due}" for kind, due in DUE.items()), "seconds", box=None)
    for task in dict.fromkeys(row.task for row in rows):
        found = {row.kind: row for row in rows if row.task == task}
        cells = [_cell(found[kind]) if kind in found else "-" for kind in DUE]
        table.add_row(task, *cells, f"{sum(row.seconds for row in found.values()):.1f}")
    return table


def _cell(row: SuiteRow) -> str:
    return "as due" if row.status == row.due else f"{row.status}{' !' * bool(row.fault)}"


def faults_of(rows: list[SuiteRow]) -> list[str]:
    """What is not as it must be, in words."""
    found = [row.fault for row in rows if row.fault]
    right = {row.task: row.latency_us for row in rows if row.kind == "right"}
    for row in rows:
        fastest = right.get(row.task)
        if row.kind == "slow" and row.latency_us and fastest and row.latency_us <= fastest:
            found.append(f"{row.task}: the slow candidate is as fast as the right one")
    return found


async def run(choices: argparse.Namespace) -> tuple[list[str], int]:
    """Goes through the round; what is not as it must be, and how many have no verdict."""
    ends = time.monotonic() + choices.seconds - TO_CLOSE_S
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
        chosen = [f for f in imported.candidates if choices.only in f.parent.parent.name]
        order = sorted(chosen, key=_by_task)
        try:
            rows, records = await judge_all(harness, order, choices.scope, ends, choices.out)
        finally:
            await harness.aclose()
        scores = {
            kind: fast_p_score(SUITE, imported.folder, records, Counting(solution=f"{kind}-"))
            for kind in DUE
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
    _write(rows, choices.out)
    console.print()
    console.print(verdict_table(rows))
    left = [f"not imported: {name}: {why}" for name, why in imported.left_out.items()]
    return [*left, *faults_of(rows)], sum(row.undecided for row in rows)


def main() -> None:
    """Runs the round."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="receives rows and the curve")
    parser.add_argument("--seconds", type=float, default=230.0, help="longest it may take")
    parser.add_argument("--scope", default="sample", help="smoke, sample or full")
    parser.add_argument("--reduce-by", type=int, default=1, help="divides sizes, for the CPU")
    parser.add_argument("--only", default="", help="a part of the tasks' names")
    faults, undecided = asyncio.run(run(parser.parse_args()))
    console.print("\n" + ("\n".join(faults) or "Every verdict that was reached is as it must be."))
    if undecided:
        console.print(f"The time did not suffice for {undecided} candidates.")
    sys.exit(DISAGREES if faults else INCOMPLETE if undecided else 0)


if __name__ == "__main__":
    main()
