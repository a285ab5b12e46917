"""Every shipped history is signed by a key that is shipped, and is imported whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_harness.tools.archive.store.transfer import fetch
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.settings import load_settings

KERNELS = Path(__file__).resolve().parents[2] / "kernels"
HISTORIES = sorted(KERNELS.glob("*/history.bundle"))
MOST_BYTES = 2 << 20


@pytest.mark.parametrize(
    "bundle",
    [
        pytest.param(bundle, marks=() if bundle == HISTORIES[0] else pytest.mark.long)
        for bundle in HISTORIES
    ],
    ids=lambda bundle: bundle.parent.name,
)
def test_a_shipped_history_counts_on_a_new_machine(bundle: Path, tmp_path: Path):
    assert bundle.stat().st_size <= MOST_BYTES
    harness = Harness.open(load_settings({"data_dir": str(tmp_path)}))
    try:
        moved = fetch(harness.archive, str(bundle))
        timed = [n for n in harness.archive.iter(bundle.parent.name) if n.latency_us is not None]
    finally:
        harness.archive.close()
    assert moved.unverified == 0
    assert timed
