"""Operators of a library, by torch.library, are replaced and recorded, compiled programs too."""

from __future__ import annotations

import sys

import pytest
import torch

from kernel_harness.tools.applying.routing import apply
from kernel_harness.tools.collecting.tracing import trace


@pytest.fixture(scope="module")
def library():
    """A library with one operator, and a program that calls it."""

    @torch.library.custom_op("kernel_harness_tests::scaled", mutates_args=())
    def scaled(x: torch.Tensor, w: torch.Tensor, alpha: float) -> torch.Tensor:
        return x * w * alpha

    scaled.register_fake(lambda x, w, alpha: torch.empty_like(x))

    def program(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return torch.ops.kernel_harness_tests.scaled(x, w, 2.0) + 1

    return program


def kernel_calls() -> list[int]:
    """Calls of each kernel that was loaded."""
    every = [vars(module) for name, module in sys.modules.items() if "_harness_applied" in name]
    return [len(scope["CALLS"]) for scope in every if "CALLS" in scope]


@torch.no_grad()
def test_a_librarys_operator_goes_to_the_kernel_eager_and_compiled(library, write_folder):
    x, w = torch.randn(4, 8), torch.randn(8)
    expected, before = library(x, w), sum(kernel_calls())
    name = "torch.ops.kernel_harness_tests.scaled"
    with apply(name, write_folder(), inputs=lambda x, w, alpha: (x, w, alpha)) as applied:
        torch.testing.assert_close(library(x, w), expected)
        compiled = torch.compile(library, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x, w), expected)
        assert sum(kernel_calls()) == before + 2 and not applied.misses.all()
    torch.compiler.reset()
    assert torch.equal(library(x, w), expected)
    assert sum(kernel_calls()) == before + 2


@torch.no_grad()
def test_a_librarys_operator_is_recorded_and_a_compiled_call_is_left_alone(library, tmp_path):
    x, w = torch.randn(4, 8), torch.randn(8)
    expected = library(x, w)
    with trace(tmp_path / "out", ["torch.ops.kernel_harness_tests.scaled"]) as written:
        assert torch.equal(library(x, w), expected)
        compiled = torch.compile(library, backend="eager", fullgraph=True)
        assert torch.equal(compiled(x, w), expected)
    torch.compiler.reset()
    (done,) = written
    assert done.workloads == 1
