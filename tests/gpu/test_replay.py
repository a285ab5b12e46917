"""Calls recorded in one process and replayed in a runner: equal bit for bit, and timed alike."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.gpu, pytest.mark.process, pytest.mark.timeout(300)]
PROBE = Path(__file__).with_name("replay_probe.py")
SEALED = (
    "gdn_decode B=1",
    "gdn_decode B=16",
    "gdn_decode B=64",
    "matmul+softmax",
    "split-k matmul+softmax",
    "two streams",
    "kept scratch",
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The probe runs in a process of its own: its allocator comes before CUDA."""
    file = tmp_path_factory.mktemp("replay") / "results.json"
    command = [sys.executable, str(PROBE), "--json", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return {r["case"]: r for r in json.loads(file.read_text())}


@pytest.mark.parametrize("case", SEALED)
def test_a_replay_in_another_process_gives_the_same_bits(results, case):
    found = results[case]
    assert found.get("equal") == "30 of 30", found


@pytest.mark.parametrize("case", SEALED)
def test_a_replay_that_is_right_is_sealed(results, case):
    assert results[case].get("decision") == "sealed", results[case]


def test_a_call_that_waits_for_the_device_is_claimed_with_its_reason(results):
    assert results["synchronising (not replayable)"]["claimed"]
