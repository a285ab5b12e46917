"""The built-in agent alone on a GPU: rounds of real processes, real variants, the judge's clock."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kernel_harness.tools.agents.records.ledger import searches
from kernel_harness.tools.agents.records.state import state_of
from kernel_harness.tools.confinement import landlock
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.settings import load_settings

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(900)]


def optimized(data: Path, operator: str, *options: str):
    command = [sys.executable, "-P", "-m", "kernel_harness.server", "optimize", operator]
    asked = ["--agent", "tuner 8", "--policy", "best_first", "--data-dir", str(data), *options]
    if landlock.abi() == 0:
        asked.append("--unconfined")
    run = subprocess.run([*command, *asked], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:] + run.stdout[-2000:]
    harness = Harness.open(load_settings({"data_dir": str(data)}))
    state = state_of(searches(harness.archive.repository)[0].events())
    harness.archive.close()
    return state


@pytest.mark.parametrize("operator", ["gdn_decode", "gdn_prefill"])
def test_the_tuner_makes_a_shipped_baseline_faster(tmp_path: Path, operator: str):
    state = optimized(tmp_path, operator, "--rounds", "3", "--gpu-seconds", "240")
    best = state.best
    assert best is not None, [ended.words for ended in state.finished]
    assert best.best_speedup is not None and best.best_speedup >= 1.1, json.dumps(
        [ended.model_dump(mode="json") for ended in state.finished], indent=1
    )
    assert all(ended.spent.device_seconds > 0 for ended in state.finished)
