"""Launches are described alike where they compile and where they are interpreted."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import triton
import triton.language as tl

from kernel_harness.tools.candidate.cpu.launches import (
    LaunchLog,
    code_digest,
    describe_launch,
    evaluated_grid,
)
from kernel_harness.tools.messages.launches import MOST_LAUNCHES

FACTOR = tl.constexpr(2)


def _scaled(
    x,
    out,
    n,
    BLOCK: tl.constexpr = 64,  # pyright: ignore[reportArgumentType]
):
    tl.store(out + tl.arange(0, BLOCK), tl.load(x) * FACTOR)


def _scaled_otherwise(
    x,
    out,
    n,
    BLOCK: tl.constexpr = 64,  # pyright: ignore[reportArgumentType]
):
    tl.store(out + tl.arange(0, BLOCK), tl.load(x) * 3)


SCALED = SimpleNamespace(fn=_scaled)


def test_a_launch_is_described_by_types_values_constants_and_options():
    x = torch.ones(2, dtype=torch.bfloat16)
    launch = describe_launch(SCALED, (x, x, 7), {"num_warps": 8}, (3, 2), place=1)
    assert (launch.kernel, launch.place, launch.grid) == ("_scaled", 1, [3, 2, 1])
    assert launch.arguments == {"x": "*bfloat16", "out": "*bfloat16", "n": "int 7"}
    assert launch.constants == {"BLOCK": "int 64"} and launch.options == {"num_warps": "int 8"}


def test_a_grid_is_computed_from_arguments_and_defaults():
    assert evaluated_grid(SCALED, (0, 0, 640), {}, lambda meta: (meta["n"] // meta["BLOCK"],)) == (
        10,
    )
    assert evaluated_grid(SCALED, (), {}, (4,)) == (4,)


def test_the_digest_follows_code_and_the_constants_that_it_names(monkeypatch):
    before = code_digest(_scaled)
    assert code_digest(_scaled) == before != code_digest(_scaled_otherwise)
    monkeypatch.setitem(_scaled.__globals__, "FACTOR", tl.constexpr(5))
    assert code_digest(_scaled) != before


def test_the_digest_follows_functions_that_a_kernel_calls():
    def kernel_of(called):
        def kernel(x):
            called(x)

        return kernel

    one, other = (triton.jit(f) for f in (_scaled, _scaled_otherwise))
    assert code_digest(kernel_of(one)) == code_digest(kernel_of(one))
    assert code_digest(kernel_of(one)) != code_digest(kernel_of(other))


def test_more_launches_than_can_be_described_are_said_to_be_missing():
    log = LaunchLog()
    for place in range(MOST_LAUNCHES + 1):
        log.add(describe_launch(SCALED, (0, 0, 7), {}, (1,), place=place))
    message = log.message()
    assert "more than" in message.dropped_for and len(message.launches) == MOST_LAUNCHES


TUNED = """
import triton
import triton.language as tl

@triton.autotune([triton.Config({"BLOCK": 64}), triton.Config({"BLOCK": 128})], key=["n"])
@triton.heuristics({"EVEN": lambda launched: launched["n"] % launched["BLOCK"] == 0})
@triton.jit
def _add(x, out, n, BLOCK: tl.constexpr, EVEN: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, i < n) + BLOCK, i < n)

def run(x, out):
    _add[lambda meta: (triton.cdiv(x.numel(), meta["BLOCK"]),)](x, out, x.numel())
"""


@pytest.mark.process
@pytest.mark.parametrize(("configuration", "block", "grid"), [(0, 64, 4), (1, 128, 2), (2, 64, 4)])
def test_a_given_configuration_is_interpreted(candidate, configuration, block, grid):
    assert candidate.build({"kernel.py": TUNED}, language="triton").fault is None
    called, (snapshot,) = candidate.call(
        [torch.ones(256)], [torch.zeros(256)], configuration=configuration
    )
    assert called.fault is None and torch.equal(snapshot, torch.full((256,), 1.0 + block))
    (launch,) = called.interpreted.launches
    assert launch.grid == [grid, 1, 1] and launch.choice == configuration % 2
    assert launch.constants == {"BLOCK": f"int {block}", "EVEN": "bool True"}
