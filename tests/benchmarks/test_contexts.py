"""That benchmarks/contexts.py runs to its end: the machine with two GPUs may be somebody else's."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kernel_harness.tools.settings import candidate_environment

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "contexts.py"
DRIVER = """
int cuInit(unsigned flags) { return 0; }
int cuDeviceGet(int *device, int number) { *device = number; return 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { return 0; }
int cuCtxSetCurrent(void *context) { return 0; }
"""


@pytest.mark.process
@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_contexts_of_one_and_of_two_gpus_are_a_row_each(tmp_path):
    source, library = tmp_path / "driver.c", tmp_path / "libcuda.so.1"
    source.write_text(DRIVER)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    choices = ("--devices", "0", "0,1", "--count", "1", "2", "--repeats", "1")
    found = subprocess.run(
        [sys.executable, str(BENCHMARK), *choices],
        env=candidate_environment() | {"LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    rows = [line.split("│")[1:3] for line in found.stdout.splitlines() if line.startswith("│")]
    said = [tuple(cell.strip() for cell in row) for row in rows]
    assert said == [("0", "1"), ("0", "2"), ("0,1", "1"), ("0,1", "2")]
