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


@pytest.mark.long
def test_an_operator_of_ones_own(tmp_path, command_line):
    # Held-out sizes come last: what the page shows of them must fit into the budget.
    reader = Reader(tmp_path, command_line, budget_s=200)
    reader.follow(blocks(ROOT / "docs/how-to/own-operator.md"))


@pytest.mark.long
def test_a_dataset_of_ones_own(tmp_path, command_line):
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/own-dataset.md"))


@pytest.mark.long
def test_what_flashinfer_bench_does(tmp_path, command_line):
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/flashinfer-bench.md"))


@pytest.mark.long
def test_tasks_of_kernelbench(tmp_path, command_line):
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/kernelbench.md"))


@pytest.mark.long
def test_problems_of_sol_execbench(tmp_path, command_line):
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/sol-execbench.md"))


@pytest.mark.long
def test_tasks_of_gpu_mode(tmp_path, command_line):
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/gpu-mode.md"))


@pytest.mark.long
def test_tasks_of_robust_kbench(tmp_path, command_line):
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/robust-kbench.md"))


@pytest.mark.long
def test_submissions_of_a_contest(tmp_path, command_line):
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/contest.md"))


@pytest.mark.long
def test_a_machine_without_a_connection(tmp_path, command_line):
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/batch-machines.md"))


@pytest.mark.long
def test_kernels_of_kernelagent_and_autokernel(tmp_path, command_line):
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/kernelagent.md"))


@pytest.mark.long
def test_many_variants(tmp_path, command_line):
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/variants.md"))


@pytest.mark.long
def test_a_search_left_running(tmp_path, command_line):
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/leave-it-running.md"))


@pytest.mark.long
def test_a_call_looked_into(tmp_path, command_line):
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/look-into-a-call.md"))


@pytest.mark.long
def test_what_is_known_and_where_to_start(tmp_path, command_line):
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/start-and-compare.md"))


@pytest.mark.long
def test_the_code_of_a_kernel(tmp_path, command_line):
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/see-the-code.md"))


def test_a_device_measured(tmp_path, command_line):
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/measure-a-device.md"))


def test_taking_results_elsewhere(tmp_path, command_line):
    (tmp_path / "kernels").symlink_to(ROOT / "kernels")
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/take-out.md"))
    # Not into the checkout's: what runs before left there, the page does not speak of.
    assert (tmp_path / "data" / "archive").is_dir()


@pytest.mark.long
def test_workloads_of_a_program(tmp_path, command_line):
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/collect-workloads.md"))


@pytest.mark.long
def test_a_kernel_in_a_program(tmp_path, command_line):
    Reader(tmp_path, command_line).follow(blocks(ROOT / "docs/how-to/use-kernels.md"))


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_a_page_with_a_few_commands(tmp_path, page):
    clone(tmp_path)
    Reader(tmp_path).follow(blocks(ROOT / page))


def clone(home):
    """Makes a home look like the checkout as far as commands go."""
    (home / ".venv").symlink_to(sys.prefix)
    (home / "Makefile").symlink_to(ROOT / "Makefile")
