"""Wall time of evaluations split into parts, and latencies beside a plain CUPTI measurement.

    python benchmarks/turnaround.py [--solution triton_baseline] [--json FILE]
    python benchmarks/turnaround.py --definition moe --solution triton_grouped

Needs an NVIDIA GPU. For the seven decode batch sizes it prints the latency that the harness reports
with its interval, the median of a plain CUPTI measurement in another process, their difference, and
where the wall time of a warm `sample` evaluation went. Between two evaluations it waits, as an
agent would that writes the next kernel; `--pause 0` asks for the next one at once. Of another
operator than decode it prints where the wall time goes, and what its inputs are drawn by. With
`--json` all of it is written to a file as well.

Parts are indented below the part that they are in. What is below need not add up to it: some of it
has no name, and `draws` and `verdicts` are in several.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Evaluation
from kernel_harness.tools.schema.flashinfer_trace import Solution
from kernel_harness.tools.settings import load_settings

DEFINITION = "gdn_decode_qk4_v8_d128_k_last"
WRONG = "\n_run = run\ndef run(*a):\n    _run(*a)\n    a[-1].zero_()  # SOME\n"
BROKEN = "\ndef broken(:  # SOME\n"
PARTS: dict[str, tuple[str, ...]] = {
    "drain": (),
    "spawn": (),
    "build": ("candidate_build", "inputs_ahead", "context"),
    "correctness": ("first_call", "spawn_more"),
    "static": (),
    "timing": (
        *("timing_preheat", "timing_join", "timing_record", "recording_waits"),
        *("recording_plans", "recording_ordinary", "timing_load", "timing_pause"),
        *("timing_replay", "timing_clock", "replays", "replay_inputs", "replay_request"),
        *("replay_in_runner", "replay_times", "replay_outputs", "draws", "verdicts"),
        *("timing_witness", "timing_sustained", "timing_warm_up", "timing_pairs", "timing_other"),
    ),
    "timing_held_out": (),
    "deployment": (),
    "close": (),
}
"""What a trial does in order, and what each stage of it is made of."""
SUMS = ("total", "reference", "candidate")
UNNAMED = "in the judge, in no stage"
Row = tuple[str, Evaluation, float]
console = Console(width=170)


def one_per_batch(harness: Harness) -> dict[int, str]:
    """The first workload of each batch size."""
    chosen: dict[int, str] = {}
    for workload in harness.dataset.operator(DEFINITION).workloads:
        chosen.setdefault(workload.axes["batch_size"], workload.uuid)
    return chosen


def plain(solution: str, uuids: list[str]) -> dict[str, list[int]]:
    """Raw samples of the plain CUPTI measurement, from a process of its own."""
    script = Path(__file__).with_name("plain_cupti.py")
    command = [sys.executable, str(script), "--definition", DEFINITION]
    command += ["--solution", solution, "--workloads", ",".join(uuids)]
    out = subprocess.run(command, capture_output=True, text=True, check=False)
    if out.returncode:
        raise SystemExit(f"plain_cupti.py failed:\n{out.stderr[-2000:]}")
    return json.loads(out.stdout.strip().splitlines()[-1])


def changed(solution: Solution, words: str) -> Solution:
    """The solution with words added at the end of every source."""
    sources = [
        s.model_copy(update={"content": s.content + words.replace("SOME", f"{time.time_ns()}")})
        for s in solution.sources
    ]
    return solution.model_copy(update={"sources": sources})


async def timed(
    harness: Harness, solution: Any, pause_s: float, scope: str, only: Sequence[str] = ()
) -> tuple[Evaluation, float]:
    """One evaluation and its wall time in seconds."""
    began = time.perf_counter()
    request = replace(
        harness.lookup.evaluation_request(solution=solution, force=True, scope=scope), only=only
    )
    evaluation = (await harness.evaluations.evaluate(request)).evaluation
    seconds = time.perf_counter() - began
    await asyncio.sleep(pause_s)
    return evaluation, seconds


def parts_of(evaluation: Evaluation) -> dict[str, float]:
    """Seconds by part, those of a stage behind it, and what no stage took."""
    seconds = evaluation.evidence.seconds
    named = [part for stage, within in PARTS.items() for part in (stage, *within)]
    others = sorted(seconds.keys() - {*named, *SUMS})
    found = {part: seconds[part] for part in (*named, *others) if part in seconds}
    stages = sum(seconds.get(stage, 0.0) for stage in PARTS)
    sums = {name: seconds[name] for name in SUMS if name in seconds}
    return {**found, UNNAMED: round(seconds.get("total", 0.0) - stages, 4), **sums}


def show_parts(rows: list[Row]) -> None:
    """Prints where the wall time went."""
    table = Table(title="Wall time of one evaluation, seconds by part")
    table.add_column("part")
    for name, _, _ in rows:
        table.add_column(name)
    table.add_row("status", *(evaluation.status.value for _, evaluation, _ in rows))
    table.add_row("whole, as the caller waits", *(f"{whole:.2f}" for _, _, whole in rows))
    sources = [evaluation.evidence.input_source for _, evaluation, _ in rows]
    table.add_row("drawn by", *(" ".join((s.generator, s.note)).strip() for s in sources))
    each = [parts_of(evaluation) for _, evaluation, _ in rows]
    for part in dict.fromkeys(part for parts in each for part in parts):
        stands = part in PARTS or part in (*SUMS, UNNAMED)
        words = part if stands else f"  {part}"
        table.add_row(words, *(f"{parts[part]:.3f}" if part in parts else "" for parts in each))
    console.print(table)


def as_json(rows: list[Row]) -> list[dict[str, Any]]:
    """The same for a file."""
    return [
        {
            "evaluation": name,
            "status": evaluation.status.value,
            "seconds": round(whole, 3),
            "parts": parts_of(evaluation),
        }
        for name, evaluation, whole in rows
    ]


async def run(choices: argparse.Namespace) -> tuple[Evaluation, list[str], list[Row]]:
    """Evaluates; prints where the time went; returns the seven batch sizes' evaluation, and all."""
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness.open(load_settings({"data_dir": folder}))
        operator = harness.dataset.operator(DEFINITION)
        solution = operator.solutions()[choices.solution]
        by_batch = one_per_batch(harness)
        pause = choices.pause
        cold = await timed(harness, solution, pause, scope="smoke")
        warm = [
            await timed(harness, solution, pause, scope="sample") for _ in range(choices.repeat)
        ]
        seven = await timed(harness, solution, pause, scope="sample", only=list(by_batch.values()))
        failed = [
            await timed(harness, changed(solution, words), pause, scope="sample")
            for words in (WRONG, WRONG, BROKEN)
        ]
        rows = [("first, with start of the judge", *cold)]
        rows += [(f"sample, warm {i + 1}", *w) for i, w in enumerate(warm)]
        rows += [("seven batch sizes", *seven), ("a wrong result", *failed[0])]
        rows += [("another wrong result", *failed[1]), ("a syntax error", *failed[2])]
        show_parts(rows)
        await harness.aclose()
    return seven[0], list(by_batch.values()), rows


async def samples(choices: argparse.Namespace) -> list[Row]:
    """Evaluates a solution of any operator; prints where the time went."""
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness.open(load_settings({"data_dir": folder}))
        solution = harness.dataset.operator(choices.definition).solutions()[choices.solution]
        rows = [("first, with start of the judge", "smoke")]
        rows += [(f"sample, warm {i + 1}", "sample") for i in range(choices.repeat)]
        found = [(n, *await timed(harness, solution, choices.pause, scope)) for n, scope in rows]
        show_parts(found)
        await harness.aclose()
    return found


def show_latencies(solution: str, evaluation: Evaluation, uuids: list[str]) -> list[dict[str, Any]]:
    """Prints the harness's latencies beside plain CUPTI's, and returns them."""
    reference = plain(solution, uuids)
    table = Table(title=f"{DEFINITION}, {solution}: latency in microseconds")
    for column in ("batch", "harness", "95 % interval", "plain CUPTI", "difference", "timer"):
        table.add_column(column)
    report = []
    for workload in sorted(evaluation.workloads, key=lambda w: w.axes["batch_size"]):
        plain_us = statistics.median(reference[workload.uuid]) / 1e3
        ours, interval = workload.latency_us, workload.latency_interval_us
        if ours is None or interval is None:
            table.add_row(
                str(workload.axes["batch_size"]), workload.status.value, "", f"{plain_us:.2f}"
            )
            continue
        difference = ours / plain_us - 1
        table.add_row(
            str(workload.axes["batch_size"]),
            f"{ours:.2f}",
            f"{interval[0]:.2f}-{interval[1]:.2f}",
            f"{plain_us:.2f}",
            f"{difference:+.1%}",
            evaluation.evidence.timer or "",
        )
        report.append({"batch": workload.axes["batch_size"], "us": ours, "plain_us": plain_us})
    console.print(table)
    return report


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--solution", default="triton_baseline")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between evaluations")
    parser.add_argument("--definition", default=DEFINITION, help="its name or a part of it")
    parser.add_argument("--json")
    choices = parser.parse_args()
    latencies: list[dict[str, Any]] = []
    if choices.definition != DEFINITION:
        rows = asyncio.run(samples(choices))
    else:
        evaluation, uuids, rows = asyncio.run(run(choices))
        latencies = show_latencies(choices.solution, evaluation, uuids)
    if choices.json:
        report = {"evaluations": as_json(rows), "latencies": latencies}
        Path(choices.json).write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
