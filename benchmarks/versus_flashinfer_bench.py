"""The seven decode batch sizes: FlashInfer-Bench, this harness and plain CUPTI on one machine.

    python benchmarks/versus_flashinfer_bench.py [--solution triton_baseline]

Needs an NVIDIA GPU, flashinfer-bench 0.1.2, flashinfer-python 0.6.9 and cupti-python. One kernel,
seven workloads, three clocks, one after the other: wall time of each, and the error of the first
two against a plain CUPTI measurement (benchmarks/plain_cupti.py). The harness is timed twice:
compared with nothing, which is what FlashInfer-Bench does, and paired with the baseline.
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
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kernel_harness.tools.harness import Harness
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.workloads.operators import Operator

DEFINITION = "gdn_decode_qk4_v8_d128_k_last"
console = Console(width=140)


def seven(operator: Operator) -> dict[str, int]:
    """The first workload of each batch size: uuid to batch size."""
    chosen: dict[int, str] = {}
    for workload in operator.workloads:
        chosen.setdefault(workload.axes["batch_size"], workload.uuid)
    return {uuid: batch for batch, uuid in chosen.items()}


def write_dataset(operator: Operator, solution_name: str, uuids: list[str], root: Path) -> None:
    """Writes the operator, the workloads and the solution as a FlashInfer-Trace dataset."""
    definition = operator.definition
    solution = operator.solutions()[solution_name]
    files = {
        root / "definitions" / definition.op_type / f"{definition.name}.json": (
            definition.model_dump_json(indent=1)
        ),
        root / "solutions" / definition.op_type / definition.name / f"{solution.name}.json": (
            solution.model_dump_json(indent=1)
        ),
        root / "workloads" / definition.op_type / f"{definition.name}.jsonl": "".join(
            json.dumps(
                {
                    "definition": definition.name,
                    "solution": None,
                    "workload": operator.workload(uuid).model_dump(mode="json"),
                    "evaluation": None,
                }
            )
            + "\n"
            for uuid in uuids
        ),
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def flashinfer_bench(root: Path) -> tuple[float, dict[str, float]]:
    """Runs FlashInfer-Bench's own command; wall time in seconds and latency by uuid in µs."""
    code = "from flashinfer_bench.cli.main import cli; cli()"
    began = time.perf_counter()
    out = subprocess.run(
        [sys.executable, "-c", code, "run", "--local", str(root)],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    found: dict[str, float] = {}
    for path in (root / "traces").rglob("*.jsonl"):
        for line in path.read_text().splitlines():
            trace = json.loads(line)
            performance = (trace.get("evaluation") or {}).get("performance")
            if performance:
                found[trace["workload"]["uuid"]] = performance["latency_ms"] * 1e3
    if not found:
        raise SystemExit(f"flashinfer-bench gave no latency:\n{(out.stdout + out.stderr)[-3000:]}")
    return seconds, found


async def ours(
    solution_name: str, uuids: list[str], pause_s: float
) -> tuple[dict[str, float], dict[str, float]]:
    """Wall times in seconds, and latency by uuid in µs.

    Between two evaluations it waits as an agent would that writes the next kernel; of each kind the
    median of three warm ones counts.
    """
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness.open(load_settings({"data_dir": folder}))
        solution = harness.dataset.operator(DEFINITION).solutions()[solution_name]
        wall: dict[str, float] = {}
        made = []
        for kind, compare_to in (("alone", "nothing"), ("paired", None)):
            seconds = []
            for _ in range(4 if not wall else 3):
                began = time.perf_counter()
                request = harness.lookup.evaluation_request(
                    solution=solution, force=True, compare_to=compare_to
                )
                request = replace(request, only=tuple(uuids))
                evaluation = (await harness.evaluations.evaluate(request)).evaluation
                seconds.append(time.perf_counter() - began)
                made.append(evaluation)
                await asyncio.sleep(pause_s)
            wall.setdefault("first", seconds[0])
            wall[kind] = statistics.median(seconds[-3:])
        await harness.aclose()
    evaluation = made[-1]
    found = {w.uuid: w.latency_us for w in evaluation.workloads if w.latency_us is not None}
    if len(found) != len(uuids):
        raise SystemExit(f"the harness says {evaluation.status}: {evaluation.failure}")
    return wall, found


def plain(solution: str, uuids: list[str]) -> tuple[float, dict[str, float]]:
    """Wall time and median latency by uuid of the plain CUPTI measurement."""
    script = Path(__file__).with_name("plain_cupti.py")
    began = time.perf_counter()
    out = subprocess.run(
        [sys.executable, str(script), "--definition", DEFINITION, "--solution", solution,
         "--workloads", ",".join(uuids)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if out.returncode:
        raise SystemExit(f"plain_cupti.py failed:\n{out.stderr[-2000:]}")
    samples = json.loads(out.stdout.strip().splitlines()[-1])
    medians = {uuid: statistics.median(values) / 1e3 for uuid, values in samples.items()}
    return time.perf_counter() - began, medians


def main() -> None:
    """Runs the comparison and prints it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--solution", default="triton_baseline")
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between evaluations")
    choices = parser.parse_args()
    harness = Harness.open(load_settings())
    operator = harness.dataset.operator(DEFINITION)
    batches = seven(operator)
    uuids = list(batches)
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(operator, choices.solution, uuids, Path(folder))
        fib_seconds, fib = flashinfer_bench(Path(folder))
    wall, own = asyncio.run(ours(choices.solution, uuids, choices.pause))
    plain_seconds, truth = plain(choices.solution, uuids)
    table = Table(title=f"{DEFINITION}, {choices.solution}: latency in microseconds")
    for column in ("batch", "plain CUPTI", "harness", "error", "FlashInfer-Bench", "error"):
        table.add_column(column)
    for uuid in sorted(uuids, key=lambda u: batches[u]):
        theirs = fib.get(uuid)
        table.add_row(
            str(batches[uuid]),
            f"{truth[uuid]:.2f}",
            f"{own[uuid]:.2f}",
            f"{own[uuid] / truth[uuid] - 1:+.1%}",
            f"{theirs:.2f}" if theirs else "none",
            f"{theirs / truth[uuid] - 1:+.1%}" if theirs else "",
        )
    console.print(table)
    console.print(
        f"wall time: FlashInfer-Bench {fib_seconds:.1f} s; harness {wall['first']:.1f} s with its "
        f"start, warm {wall['alone']:.2f} s alone ({fib_seconds / wall['alone']:.1f} times faster) "
        f"and {wall['paired']:.2f} s paired with the baseline "
        f"({fib_seconds / wall['paired']:.1f} times); plain CUPTI {plain_seconds:.1f} s"
    )


if __name__ == "__main__":
    main()
