"""Judges and archives a folder of candidates, bundle in and bundle out.

    python benchmarks/search_round.py ROUNDS --bundle HISTORY --out FOLDER [--seconds 200]

Each folder in ROUNDS is a solution (`candidate.toml` and sources) with a `round.toml`:

    hypothesis = "one sentence: what was changed and what it should improve"
    expected = "by how much"                   # optional
    parent = "name of another candidate"       # or a list of names; optional
    techniques = ["evict-last"]
    regime = "what part of the workloads it aims at"   # optional
    compare_to = "triton_split_k"              # optional; `--compare-to`, else the baseline

They are evaluated in the order of their folders' names through the services behind the MCP tools
evaluate_kernel, archive_candidate and promote_candidate, failed ones too. Candidates that the
bundle holds are skipped, unless they were only compiled, so an interrupted round is continued by
the same command. When `--seconds` are nearly over no further candidate is begun; the bundle and
`round.json` are written in any case.
`--then COMMAND` is run with ROUNDS and `round.json` after the first pass and may add folders to
ROUNDS, a merge of the best of each regime for instance; they are judged before the full
evaluations. `--reserve` keeps seconds for both. A sample that is not over after `--each`
seconds is given up. `--by-ratio` ranks by the ratio to what all of a round are compared with: what
a call takes may depend on the inputs that were drawn, which are others in each evaluation.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import shutil
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from kernel_harness.tools.archive.retrieval.repeats import seen
from kernel_harness.tools.archive.store.entry import Node
from kernel_harness.tools.archive.store.transfer import fetch, write_bundle
from kernel_harness.tools.errors import HarnessError
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.lookup import NOTHING
from kernel_harness.tools.schema.evaluation import Evaluation, Scope, Status
from kernel_harness.tools.schema.flashinfer_trace import Solution
from kernel_harness.tools.schema.measurement import TimeSource
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.workloads.solution_folder import read_solution

ROUND_FILE = "round.toml"
FIRST_GUESS_S = {Scope.SAMPLE: 12.0, Scope.FULL: 60.0}
"""Seconds that the first evaluation of a scope is expected to take, start of the judge included."""
TO_CLOSE_S = 6.0
NOTHING_RAN = (Status.COMPILED, Status.NOT_JUDGED)
console = Console(width=170)


@dataclass(frozen=True)
class Candidate:
    """One folder of a round: the solution and what its author says of it."""

    solution: Solution
    hypothesis: str
    parents: tuple[str, ...]
    techniques: tuple[str, ...]
    compare_to: str | None = None


@dataclass
class Row:
    """What became of one candidate."""

    name: str
    scope: str
    status: str
    mean_us: float | None = None
    ratio: float | None = None
    sealed: bool = False
    by_workload: dict[str, Any] = field(default_factory=dict)
    words: str = ""
    candidate_id: str = ""
    evaluation_id: str = ""
    seconds: float = 0.0


def candidates_in(folder: Path) -> list[Candidate]:
    """Reads the candidates of a folder in the order of their names.

    Raises:
        HarnessError: when a solution cannot be read.
        KeyError: when a round.toml names no hypothesis.
    """
    found = []
    for file in sorted(folder.glob(f"*/{ROUND_FILE}")):
        said = tomllib.loads(file.read_text())
        expected = said.get("expected")
        parents = said.get("parent", [])
        with tempfile.TemporaryDirectory() as scratch:
            sources = Path(scratch) / "solution"
            shutil.copytree(file.parent, sources, ignore=shutil.ignore_patterns(ROUND_FILE))
            solution = read_solution(sources, author="search")
        found.append(
            Candidate(
                solution,
                said["hypothesis"] + (f" Expected: {expected}." if expected else ""),
                (parents,) if isinstance(parents, str) else tuple(parents),
                tuple(said.get("techniques", ())) + ((said["regime"],) if "regime" in said else ()),
                said.get("compare_to"),
            )
        )
    return found


class Round:
    """One run over the candidates, bounded in time."""

    def __init__(self, harness: Harness, choices: argparse.Namespace) -> None:
        self.harness = harness
        self.choices = choices
        self.ends = time.monotonic() + choices.seconds - TO_CLOSE_S
        self.took = dict(FIRST_GUESS_S)
        self.rows: list[Row] = []
        self.candidates: dict[str, Candidate] = {}

    def left_s(self) -> float:
        """Seconds before the round has to close."""
        return self.ends - time.monotonic()

    def known(self, definition: str) -> dict[str, Node]:
        """The archive's newest candidate of each name."""
        nodes = list(self.harness.archive.iter(definition))
        return {node.name: node for node in sorted(nodes, key=lambda node: node.at)}

    async def judge_all(self, candidates: list[Candidate], reserve_s: float = 0.0) -> None:
        """Evaluates and archives every candidate that the archive does not hold."""
        done = {row.name for row in self.rows}
        self.candidates |= {candidate.solution.name: candidate for candidate in candidates}
        for candidate in candidates:
            if candidate.solution.name in done:
                continue
            if ran := self._judged(candidate):
                self._recall(ran)
            elif self.left_s() - reserve_s < self.took[Scope.SAMPLE]:
                self._skip(candidate, "no time left")
            else:
                await self.judge(candidate, Scope.SAMPLE)

    async def judge_best(self, count: int) -> None:
        """Evaluates the best of each operator on every workload, as long as there is time."""
        full = {row.name for row in self.rows if row.scope == Scope.FULL}
        for names in self._ranked(Scope.SAMPLE):
            for name in names[:count]:
                if name not in full and self.left_s() > self.took[Scope.FULL]:
                    await self.judge(self.candidates[name], Scope.FULL)

    async def promote_best(self) -> None:
        """Asks for the promotion of each operator's best, of those judged in full if any are.

        A promotion judges on every workload itself, twice.
        """
        ids = {row.name: row.candidate_id for row in self.rows}
        for names in self._ranked(Scope.FULL) or self._ranked(Scope.SAMPLE):
            async with asyncio.timeout(max(1.0, self.left_s())):
                decision = await self.harness.promotions.promote(ids[names[0]])
            console.print(f"{names[0]}: {decision}", markup=False)

    def _ranked(self, scope: Scope) -> list[list[str]]:
        """The names of each operator's candidates with sealed times, the fastest first."""
        timed = [row for row in self.rows if row.sealed and row.scope == scope]
        by_operator: dict[str, list[str]] = {}
        for row in sorted(timed, key=self._slowness):
            definition = self.candidates[row.name].solution.definition
            by_operator.setdefault(definition, []).append(row.name)
        return list(by_operator.values())

    def _slowness(self, row: Row) -> float:
        if self.choices.by_ratio:
            return -(row.ratio or 0.0)
        return row.mean_us or 0.0

    async def judge(self, candidate: Candidate, scope: Scope) -> None:
        """Evaluates one candidate and archives the trial; a fault of ours becomes a row."""
        began, last = time.monotonic(), ""

        async def note(_done: float, _total: float, words: str) -> None:
            nonlocal last
            last = words

        row = Row(candidate.solution.name, scope.value, "NOT_RUN")
        most_s = max(1.0, self.left_s())
        if scope is Scope.SAMPLE:
            most_s = min(most_s, self.choices.each)
        try:
            async with asyncio.timeout(most_s):
                request = self.harness.lookup.evaluation_request(
                    solution=candidate.solution,
                    scope=scope,
                    compare_to=self._compared_to(candidate, scope),
                )
                evaluated = await self.harness.evaluations.evaluate(request, most_s + 60, note)
            self._note(row, evaluated.evaluation)
            if evaluated.evaluation.status is not Status.RUNNING:
                row.candidate_id = self._archive(candidate, evaluated.evaluation)
        except TimeoutError:
            row.words = f"not over after {most_s:.0f} s: {last}"
        except HarnessError as error:
            row.words = f"{type(error).__name__}: {error}"
        row.seconds = round(time.monotonic() - began, 2)
        if row.evaluation_id:
            self.took[scope] = 1.3 * row.seconds + 1.0
        self.rows.append(row)
        console.print(_line(row), markup=False, highlight=False)

    def _compared_to(self, candidate: Candidate, scope: Scope) -> str | None:
        """What a trial is timed beside: a promotion needs a baseline, a sweep's samples do not."""
        if scope is Scope.FULL and candidate.compare_to == NOTHING:
            return self.choices.compare_to
        return candidate.compare_to or self.choices.compare_to

    def _archive(self, candidate: Candidate, evaluation: Evaluation) -> str:
        known = self.known(evaluation.definition)
        parents = [known[name] for name in candidate.parents if name in known]
        archived = self.harness.archiving.archive_candidate(
            candidate.solution,
            evaluation.evaluation_id,
            candidate.hypothesis,
            lesson=_lesson(evaluation, parents),
            parents=[node.candidate_id for node in parents],
            tags=candidate.techniques,
        )
        return archived.node.candidate_id

    def _note(self, row: Row, evaluation: Evaluation) -> None:
        row.status = evaluation.status.value
        row.evaluation_id = evaluation.evaluation_id
        totals = evaluation.totals
        row.mean_us = totals.estimated_full_mean_us or totals.mean_latency_us
        row.ratio = totals.geometric_mean_ratio
        row.sealed = (
            evaluation.sealing is not None and evaluation.sealing.source is TimeSource.SEALED
        )
        for workload in evaluation.workloads:
            row.by_workload[workload.uuid] = workload.model_dump(mode="json")
        if evaluation.failure is not None:
            row.words = f"{evaluation.failure.stage}: {evaluation.failure.message}"[:600]
        elif evaluation.not_timed_reason:
            row.words = evaluation.not_timed_reason[:300]

    def _judged(self, candidate: Candidate) -> list[Node]:
        """What the archive has of these sources, but for trials in which nothing ran."""
        ids = seen(self.harness.archive, content_hash=candidate.solution.content_hash())
        nodes = self.harness.archive.nodes(*ids)
        return [node for node in nodes if node.status not in NOTHING_RAN]

    def _recall(self, nodes: list[Node]) -> None:
        """Notes what the archive has of a candidate, so that it is ranked with the others."""
        for node in sorted(nodes, key=lambda node: node.at):
            row = Row(node.name, node.scope, "ARCHIVED", node.latency_us, node.speedup, node.sealed)
            row.candidate_id, row.evaluation_id = node.candidate_id, node.evaluation_id
            self.rows.append(row)

    def _skip(self, candidate: Candidate, why: str) -> None:
        self.rows.append(Row(candidate.solution.name, Scope.SAMPLE.value, "SKIPPED", words=why))


def _lesson(evaluation: Evaluation, parents: list[Node]) -> str:
    """The figures of a trial in a sentence, beside those of its parents."""
    if evaluation.failure is not None:
        failure = evaluation.failure
        return f"{evaluation.status.value} at {failure.stage}: {failure.message}"[:2_000]
    said = [f"{axes} {latency:.2f} us" for axes, latency in _latencies(evaluation)]
    mean = evaluation.totals.estimated_full_mean_us or evaluation.totals.mean_latency_us
    if mean is not None:
        said.append(f"mean {mean:.2f} us")
        said += [
            f"{node.latency_us / mean:.3f}x of {node.name} ({node.latency_us:.2f} us)"
            for node in parents
            if node.latency_us
        ]
    return "; ".join(said) or evaluation.status.value


def _latencies(evaluation: Evaluation) -> Iterator[tuple[str, float]]:
    for workload in evaluation.workloads:
        if workload.latency_us is not None:
            axes = ",".join(f"{name}={value}" for name, value in workload.axes.items())
            yield axes, workload.latency_us


def _line(row: Row) -> str:
    mean = f"{row.mean_us:8.2f}" if row.mean_us is not None else "       –"
    mean += " sealed" if row.sealed else "       "
    return f"{row.name:40} {row.scope:6} {row.status:20} {mean}  {row.seconds:5.1f} s  {row.words}"


def show(rows: list[Row]) -> None:
    """Prints one table of the round."""
    table = Table(title="Candidates of this round: sealed mean in microseconds, ratio to baseline")
    for column in ("candidate", "scope", "status", "mean", "ratio", "by workload", "words"):
        table.add_column(column)
    for row in rows:
        each = [
            f"{'/'.join(str(v) for v in w['axes'].values())}: {w['latency_us']:.2f}"
            for w in row.by_workload.values()
            if w.get("latency_us") is not None
        ]
        shown = "  ".join(each[:8]) + (" …" if len(each) > 8 else "")
        mean = f"{row.mean_us:.2f}" if row.mean_us is not None else ""
        ratio = f"{row.ratio:.3f}" if row.ratio is not None else ""
        table.add_row(row.name, row.scope, row.status, mean, ratio, shown, row.words[:120])
    console.print(table)


async def run(choices: argparse.Namespace) -> list[Row]:
    """Goes through the round; what was archived is written in any case."""
    choices.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness.open(load_settings({"data_dir": folder}))
        work = Round(harness, choices)
        try:
            if choices.bundle.is_file():
                moved = fetch(harness.archive, str(choices.bundle))
                console.print(
                    f"{moved.candidates} candidates came in from {choices.bundle}, "
                    f"{moved.unverified} of them signed by a key that is not trusted here"
                )
            await work.judge_all(candidates_in(choices.rounds), choices.reserve)
            if choices.then:
                write_results(harness, work.rows, choices.out)
                add_candidates(choices)
                await work.judge_all(candidates_in(choices.rounds))
            await work.judge_best(choices.full)
            if choices.promote:
                await work.promote_best()
        except TimeoutError:
            console.print("The time is over.")
        finally:
            write_results(harness, work.rows, choices.out)
            await harness.aclose()
    return work.rows


def add_candidates(choices: argparse.Namespace) -> None:
    """Runs the command that may add folders to the round; its failure costs only them."""
    command = [*shlex.split(choices.then), str(choices.rounds), str(choices.out / "round.json")]
    if subprocess.run(command, check=False).returncode:
        console.print(f"{command} failed; nothing was added.", markup=False)


def write_results(harness: Harness, rows: list[Row], out: Path) -> None:
    """Writes the archive's bundle and the rows."""
    (out / "round.json").write_text(json.dumps([asdict(row) for row in rows], indent=1))
    try:
        write_bundle(harness.archive, out / "history.bundle")
    except HarnessError as error:
        console.print(f"No bundle: {error}")


def main() -> None:
    """Runs the round."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rounds", type=Path, help="folder of candidates")
    parser.add_argument("--bundle", type=Path, required=True, help="the archive so far, if any")
    parser.add_argument("--out", type=Path, required=True, help="receives the bundle and rows")
    parser.add_argument("--seconds", type=float, default=200.0, help="longest it may take")
    parser.add_argument("--each", type=float, default=60.0, help="seconds that a sample may take")
    parser.add_argument("--full", type=int, default=1, help="how many of an operator in full")
    parser.add_argument("--reserve", type=float, default=0.0, help="seconds kept for the end")
    parser.add_argument("--then", help="a command that may add candidates after the first pass")
    parser.add_argument("--promote", action="store_true", help="promote the best sealed one")
    parser.add_argument("--by-ratio", action="store_true", help="rank by it, not by the mean")
    parser.add_argument("--compare-to", help="the operator's baseline if absent")
    choices = parser.parse_args()
    show(asyncio.run(run(choices)))


if __name__ == "__main__":
    main()
