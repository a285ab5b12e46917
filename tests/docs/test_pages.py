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


FOLLOWED = (
    "own-dataset",
    "flashinfer-bench",
    "kernelbench",
    "sol-execbench",
    "gpu-mode",
    "robust-kbench",
    "variants",
    "look-into-a-call",
    "start-and-compare",
    "see-the-code",
)


@pytest.mark.long
def test_an_operator_of_ones_own(tmp_path, command_line):
    # Held-out sizes come last: what the page shows of them must fit into the budget.
    reader = Reader(tmp_path, command_line, budget_s=200)
    reader.follow(blocks(ROOT / "docs/how-to/own-operator.md"))


@pytest.mark.long
@pytest.mark.parametrize("page", FOLLOWED)
def test_a_page_that_takes_minutes(tmp_path, command_line, page):
    Reader(tmp_path, command_line).follow(blocks(ROOT / f"docs/how-to/{page}.md"))


def test_a_device_measured(tmp_path, command_line):
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/measure-a-device.md"))


def test_taking_results_elsewhere(tmp_path, command_line):
    (tmp_path / "kernels").symlink_to(ROOT / "kernels")
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/take-out.md"))


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_a_page_with_a_few_commands(tmp_path, page):
    clone(tmp_path)
    Reader(tmp_path).follow(blocks(ROOT / page))


def clone(home):
    """Makes a home look like the checkout as far as commands go."""
    (home / ".venv").symlink_to(sys.prefix)
    (home / "Makefile").symlink_to(ROOT / "Makefile")
