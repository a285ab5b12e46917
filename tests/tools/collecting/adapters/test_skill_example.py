"""The adapter that the skill shows is tested and recorded with as the skill says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from kernel_harness.tools.workloads.dataset import Dataset

SKILL = Path(__file__).resolve().parents[4] / "skills/collect-workloads/references/adapters.md"
LIBRARY = """
import torch


class Pool:
    def plan(self, offsets, *, scale=1.0):
        self.offsets, self.scale = offsets, scale

    def run(self, x, *, mode="sum"):
        rows = torch.repeat_interleave(
            torch.arange(len(self.offsets) - 1), self.offsets.diff()
        )
        result = torch.zeros(len(self.offsets) - 1, x.shape[1], dtype=x.dtype)
        if mode == "max":
            return result.index_reduce(0, rows, x, "amax", include_self=False)
        return result.index_add(0, rows, x) * self.scale
"""
SERVING = """
import torch

from my_library import Pool


def main():
    pool = Pool()
    for lengths in ([3, 1], [1, 3], [3, 1], [2, 2, 2]):
        pool.plan(torch.tensor([0, *lengths]).cumsum(0), scale=0.5)
        pool.run(torch.randn(sum(lengths), 8))
    pool.run(torch.randn(6, 8), mode="max")
"""


def test_the_example_works_word_for_word(tmp_path, warm_python):
    blocks = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", SKILL.read_text("utf-8"), re.DOTALL)
    assert [name for name, _ in blocks] == ["adapter.py", "test_adapter.py", "record.py"]
    for name, text in [*blocks, ("my_library.py", LIBRARY), ("serving.py", SERVING)]:
        (tmp_path / name).write_text(text, "utf-8")
    for command in (["-m", "pytest", "-q", "-p", "no:cacheprovider", "."], ["record.py"]):
        ran = subprocess.run(
            [warm_python, *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
    operator = Dataset.load(tmp_path / "dataset").operator("my_library_Pool_run")
    # Two contents of one set of sizes, and another set; the call for the maximum is left out.
    assert len(operator.workloads) == 3 and not operator.unusable
    assert list(operator.definition.inputs) == ["x", "offsets", "scale"]
