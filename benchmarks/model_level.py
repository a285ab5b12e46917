"""Whole models: does the planted slow part rank first, and gain its kernel what was predicted?

    python benchmarks/model_level.py [--size large] [--networks decoder resnet] [--seconds 85]

Each network of `benchmarks/models` is ranked, then run with a kernel that is known to be faster and
without, in turn, and the first one with a wrong kernel as well. A row says the planted function's
place, its share and Amdahl's bound, the measured gain of a step with its 95 % interval, the gain
that its calls predict in their places and repeated by themselves, whether measured and predicted
agree, and the drift of outputs. A row is printed as soon as it is known, and all as a table in the
end; what took how long is told on standard error. Networks that the time does not suffice for are
left out. The exit status is 1 where a row is not as it should be. Figures of a machine without a
GPU are those of its CPU, for which --size small is made.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from models.known_kernels import known_kernel, write_kernels
from pydantic import TypeAdapter
from rich.console import Console
from rich.table import Table

from kernel_harness.tools.model_level.ranking.program_ranking import rank_program
from kernel_harness.tools.model_level.verification.gains import ModelComparison
from kernel_harness.tools.model_level.verification.program_verification import verify_program
from kernel_harness.tools.model_level.verification.verified_runs import VerifiedRuns

BENCH = Path(__file__).parent / "models/bench.py"
NETWORKS = ("decoder", "experts", "resnet")
OF_LIBRARIES = ("llama", "torchvision")
"""Those that need transformers or torchvision installed."""


def device_and_dtype() -> tuple[str, str]:
    """The device as `deploy` names it, and the element type of the networks there."""
    if not torch.cuda.is_available():
        return "cpu", "float32"
    return "-".join(torch.cuda.get_device_name().replace("NVIDIA", " ").split()), "bfloat16"


def interval_words(gain: float | None, interval: tuple[float, float] | None) -> str:
    """A gain with its interval."""
    if gain is None or interval is None:
        return "–"
    return f"{gain:.3f} ({interval[0]:.3f}–{interval[1]:.3f})"


@contextlib.contextmanager
def said(step: str) -> Iterator[None]:
    """Says on standard error what is done, and how long it took, so that no time is unexplained."""
    begin = time.monotonic()
    yield
    sys.stderr.write(f"{step}: {time.monotonic() - begin:.1f} s\n")
    sys.stderr.flush()


def measured(
    network: str, size: str, pairs: int, with_wrong: bool, kept: Path | None = None
) -> tuple[dict[str, str], bool]:
    """One row of the table, and whether it is as it should be.

    Args:
        kept: a folder for what the runs said.
    """
    device, dtype = device_and_dtype()
    program = [sys.executable, str(BENCH), network, "--size", size]
    with said(f"{network} ranked"):
        ranking = rank_program([*program, "--steps", "10"], warmup=2, steps=4)
    known = known_kernel(network, size == "small")
    row = next(one for one in ranking.operators if one.name == known.ranked)
    wrong: ModelComparison | None = None
    with tempfile.TemporaryDirectory() as place:
        good = write_kernels(known, Path(place, "good"), device, dtype)
        with said(f"{network} verified"):
            found = verify_program([*program, "--steps", "20"], good, [known.target], pairs=pairs)
        if kept:
            kept.mkdir(parents=True, exist_ok=True)
            said_by_runs = TypeAdapter(VerifiedRuns).dump_json(found.runs)
            (kept / f"{network}.json").write_bytes(said_by_runs)
        if with_wrong:
            bad = write_kernels(known, Path(place, "bad"), device, dtype, wrong=True)
            with said(f"{network} with a wrong kernel"):
                wrong = verify_program(
                    [*program, "--steps", "4"], bad, [known.target], pairs=1, steps=2
                )
    cells = {
        "network": network,
        "planted": f"{known.ranked}: row {row.row}",
        "share": f"{row.share:.1%}",
        "bound": f"{row.bound:.2f}x",
        "idle": f"{ranking.gap_us / ranking.step_us:.1%}",
        "step": f"{found.before_us / 1e3:.2f} to {found.after_us / 1e3:.2f} ms",
        "measured": interval_words(found.gain, found.interval),
        "predicted": interval_words(found.predicted.gain, found.predicted.interval),
        "repeated": f"{found.predicted.repeated:.3f}",
        "agree": str(found.agree),
        "drift": "–" if found.runs.drift.relative is None else f"{found.runs.drift.relative:.1e}",
        "wrong kernel": "not run" if wrong is None else str(wrong.verdict),
    }
    fine = row.row == 1 and found.verdict == "FASTER" and bool(found.agree)
    return cells, fine and (wrong is None or wrong.verdict == "DRIFTED")


def main() -> int:
    """Prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--size", choices=("small", "large"), default="large")
    parser.add_argument(
        "--networks", nargs="+", choices=(*NETWORKS, *OF_LIBRARIES), default=list(NETWORKS)
    )
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=85.0)
    parser.add_argument("--right-only", action="store_true", help="try no wrong kernel")
    parser.add_argument("--runs", type=Path, help="a folder for what the runs said")
    parser.add_argument("--json", type=Path, help="a file for the rows")
    arguments = parser.parse_args()
    began = time.monotonic()
    rows: list[dict[str, str]] = []
    fine, longest = True, 0.0
    for network in arguments.networks:
        begin = time.monotonic()
        if begin - began + longest > arguments.seconds:
            sys.stderr.write(f"No time is left for {network}.\n")
            continue
        with_wrong = not rows and not arguments.right_only
        row, good = measured(network, arguments.size, arguments.pairs, with_wrong, arguments.runs)
        longest = max(longest, time.monotonic() - begin)
        rows.append(row | {"seconds": f"{time.monotonic() - begin:.0f}"})
        # At once: what is stopped later has said what it found until then.
        sys.stdout.write("; ".join(f"{name} {cell}" for name, cell in rows[-1].items()) + "\n")
        sys.stdout.flush()
        fine &= good
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    table = Table(*(rows[0] if rows else ()), title=f"{arguments.size} networks")
    for row in rows:
        table.add_row(*row.values())
    Console(width=240).print(table)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
