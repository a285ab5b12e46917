"""The pages that stand for themselves work word for word."""

import sys

import pytest

from .fences import ROOT, blocks
from .reader import Reader

pytestmark = [
    pytest.mark.process,
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="Triton is for Linux"),
]


LONG = """
    batch-machines.md collect-workloads.md contest.md flashinfer-bench.md gpu-mode.md
    kernelagent.md kernelbench.md leave-it-running.md look-into-a-call.md own-dataset.md
    own-operator.md robust-kbench.md see-the-code.md sol-execbench.md start-and-compare.md
    use-kernels.md variants.md
""".split()
QUICK = ("container.md", "measure-a-device.md")
PAGES = [*(pytest.param(page, marks=pytest.mark.long) for page in LONG), *QUICK]
OPTIONS = {"own-operator.md": {"budget_s": 200}}
"""Held-out sizes come last: what that page shows of them must fit into the budget."""


@pytest.mark.parametrize("page", PAGES)
def test_a_how_to_page(page, tmp_path, command_line):
    reader = Reader(tmp_path, command_line, **OPTIONS.get(page, {}))
    reader.follow(blocks(ROOT / "docs" / "how-to" / page))


def test_taking_results_elsewhere(tmp_path, command_line):
    (tmp_path / "kernels").symlink_to(ROOT / "kernels")
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/take-out.md"))
    # Not into the checkout's: what runs before left there, the page does not speak of.
    assert (tmp_path / "data" / "archive").is_dir()


@pytest.mark.long
def test_a_slow_model_made_faster(tmp_path, command_line):
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/faster-model.md"))


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_a_page_with_a_few_commands(tmp_path, page):
    clone(tmp_path)
    Reader(tmp_path).follow(blocks(ROOT / page))


def clone(home):
    """Makes a home look like the checkout as far as commands go."""
    (home / ".venv").symlink_to(sys.prefix)
    (home / "Makefile").symlink_to(ROOT / "Makefile")
