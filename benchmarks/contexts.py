"""Seconds until CUDA contexts are there that several processes make at once, on one GPU and more.

    python benchmarks/contexts.py --devices 0 0,1 --count 1 6

A trial makes several, so how many evaluations a minute two GPUs judge follows from whether the
driver makes those of both at a time. For each choice of devices and number of processes on each, it
prints when the first, the middle and the last context was there, by the driver alone, and how long
their processes took to end when all were told to. If the last of six on each of two devices takes
as long as of six on one, the devices share nothing; if twice as long, only one is made at a time.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from kernel_harness.tools.driver.library import CudaDriver, start
from kernel_harness.tools.settings import candidate_environment

LEAST_S = 0.2
"""Between two measurements, in which the driver comes to rest."""


def serve() -> None:
    """One process: makes its context when it is told to, and ends with it."""
    driver = CudaDriver()
    _say("ready")
    sys.stdin.readline()
    start(driver, 0)
    _say(str(time.monotonic()))
    sys.stdin.readline()


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def at_once(devices: Sequence[str], count: int) -> tuple[list[float], float]:
    """Seconds until each of the contexts was there, and for all of their processes to end."""
    processes: list[subprocess.Popen[str]] = []
    for device in devices:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        pipes["env"] = candidate_environment() | {"CUDA_VISIBLE_DEVICES": device}
        command = [sys.executable, __file__, "--serve"]
        processes += [subprocess.Popen(command, text=True, **pipes) for _ in range(count)]
    for one in processes:
        _line(one)
    began = time.monotonic()
    for one in processes:
        _tell(one)
    there = [float(_line(one)) - began for one in processes]
    ends = time.monotonic()
    for one in processes:
        _tell(one)
    for one in processes:
        one.wait()
    return sorted(there), time.monotonic() - ends


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    if not (line := process.stdout.readline()):
        raise SystemExit("A process ended before it had a context.")
    return line


def _tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--devices", nargs="+", default=["0", "0,1"])
    parser.add_argument("--count", type=int, nargs="+", default=[1, 6], help="on each device")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    choices = parser.parse_args()
    if choices.serve:
        serve()
        return
    table = Table(title=f"Seconds, medians of {choices.repeats}")
    for column in ("devices", "on each", "first there", "middle", "last", "all ended after"):
        table.add_column(column)
    for devices in choices.devices:
        for count in choices.count:
            rows: list[tuple[float, ...]] = []
            for _ in range(choices.repeats):
                there, ended = at_once(devices.split(","), count)
                rows.append((there[0], statistics.median(there), there[-1], ended))
                time.sleep(LEAST_S)
            figures = [f"{statistics.median(column):.3f}" for column in zip(*rows, strict=True)]
            table.add_row(devices, str(count), *figures)
    Console().print(table)


if __name__ == "__main__":
    main()
