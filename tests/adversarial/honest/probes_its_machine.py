"""Asks for tools, devices and versions at import, and does without what is not there."""

import os
import shutil
import subprocess
import sys

import torch

EXPECT = {"status": "PASSED", "checks": {"held_out": 1, "determinism_runs": 2}}

VERSIONS = {"python": sys.version_info[:2], "torch": torch.__version__}
PROCESSORS = os.cpu_count() or 1
try:
    LISTED = subprocess.run(["nvidia-smi", "-L"], capture_output=True, timeout=5, check=False)
except (OSError, subprocess.SubprocessError):
    LISTED = None
COMPILER = shutil.which("nvcc")


def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
