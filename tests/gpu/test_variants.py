"""A planted optimum of several variants is found on a GPU, and the winner has a sealed verdict."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from kernel_harness.tools.evaluation.noise_calibration import SPIN
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Status
from kernel_harness.tools.schema.measurement import TimeSource
from kernel_harness.tools.settings import Settings
from kernel_harness.tools.tuning.results import Tuned, VariantState
from kernel_harness.tools.tuning.service import TuningRequest
from kernel_harness.tools.tuning.variants import Grid, grid_variants

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(300)]
DEFINITION = {
    "name": "spin_twice",
    "op_type": "test",
    "axes": {"n": {"type": "var"}},
    "inputs": {"x": {"shape": ["n"], "dtype": "float32"}},
    "outputs": {"y": {"shape": ["n"], "dtype": "float32"}},
    "reference": "def run(x):\n    return x * 2\n",
}
SOURCE = f"""{SPIN}
TURNS = 0
WRONG = 0


def run(x, y):
    spin(x, y, 1_000 + 400 * abs(TURNS - 3))
    if WRONG:
        y.zero_()
"""


SCALE = """
import triton
import triton.language as tl


@triton.jit
def scale(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at, mask=at < n) * 2, mask=at < n)


BLOCK = 256


def run(x, y):
    scale[(triton.cdiv(x.numel(), BLOCK),)](x, y, x.numel(), BLOCK, num_warps=4, num_stages=1)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("variants")
    folder = home / "operators" / "spin_twice"
    folder.mkdir(parents=True)
    (folder / "definition.json").write_text(json.dumps(DEFINITION))
    workload = {"uuid": "spin", "axes": {"n": 8_192}, "inputs": {"x": {"type": "random"}}}
    line = json.dumps({"definition": "spin_twice", "workload": workload})
    (folder / "workloads.jsonl").write_text(line + "\n")
    return home


@pytest.fixture(scope="module")
def tuned(home: Path) -> Tuned:
    grids = {"turns": {"TURNS": [0, 1, 2, 3, 4, 5, 6]}, "wrong": {"TURNS": 3, "WRONG": 1}}
    return asyncio.run(_tuned(home, SOURCE, grids))


async def _tuned(home: Path, source: str, grids: Mapping[str, Grid]) -> Tuned:
    harness = Harness.open(Settings(data_dir=home / "data", dataset=(home / "operators",)))
    try:
        base = harness.lookup.evaluation_request(
            solution={
                "name": "spin",
                "definition": "spin_twice",
                "author": "test",
                "spec": {
                    "language": "triton",
                    "target_hardware": ["cuda"],
                    "entry_point": "main.py::run",
                },
                "sources": [{"path": "main.py", "content": source}],
            }
        )
        variants = grid_variants(base.solution, grids)
        return await harness.tuning.tune(TuningRequest(variants, base))
    finally:
        await harness.aclose()


def test_the_planted_optimum_wins_and_its_verdict_is_sealed(tuned: Tuned) -> None:
    assert set(tuned.winners.values()) == {"turns TURNS=3"}
    winner = next(r for r in tuned.results if r.state is VariantState.FASTEST)
    assert winner.judged is not None and winner.judged.status is Status.PASSED
    sealing = winner.judged.sealing
    assert sealing is not None and sealing.source is TimeSource.SEALED


def test_a_wrong_variant_is_out_whatever_its_time(tuned: Tuned) -> None:
    wrong = next(r for r in tuned.results if r.variant.name == "wrong")
    assert wrong.state is VariantState.FAILED


def test_the_race_orders_the_others_by_their_distance(tuned: Tuned) -> None:
    times = {r.variant.name: r.times for r in tuned.results if r.times}
    (regime,) = tuned.winners
    us = [times[f"turns TURNS={n}"][regime].us for n in (3, 4, 5, 6)]
    assert us == sorted(us)


def test_variants_with_one_machine_code_are_raced_once(home: Path) -> None:
    grids = {"": {"BLOCK": [256, 512], "num_stages": [1, 2, 3]}}
    found = {r.variant.name: r for r in asyncio.run(_tuned(home, SCALE, grids)).results}
    for block in (256, 512):
        first = f"BLOCK={block} num_stages=1"
        for stages in (2, 3):
            other = found[f"BLOCK={block} num_stages={stages}"]
            assert (other.state, other.words) == ("pruned", f"same machine code as {first}")
        assert found[first].times
