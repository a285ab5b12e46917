"""Variants with one machine code are told by compile options alone, and by code that is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from kernel_harness.tools.schema.evaluation import StaticCheck, StaticKernel
from kernel_harness.tools.tuning.equal_code import alike, with_equal_code
from kernel_harness.tools.tuning.variants import Variant, grid_variants

from ...judging import make_solution

PROGRAM = make_solution("def run(x):\n    return x\n", definition="twice")


def variant(name: str, came: str | None = None, **values: Any) -> Variant:
    return Variant(name, PROGRAM, values, started_from=came, passed=frozenset(values))


def found(*variants: Variant, code: str | None = None) -> dict[str, str]:
    """Those with equal code, of variants whose machine codes are these letters."""
    digests = zip(variants, code or "x" * len(variants), strict=True)
    return with_equal_code(variants, {v.name: check(digest, v.values) for v, digest in digests})


def check(digest: str, values: Mapping[str, Any]) -> StaticCheck:
    """What compiling showed of a program of one kernel with these values."""
    config = {name.rpartition(":")[2].rpartition(".")[2]: value for name, value in values.items()}
    kernel = StaticKernel(name="step", target="sm_90", config=config)
    return StaticCheck(status="built", kernels=[kernel], machine_code=digest.strip())


def test_equal_code_of_variants_that_differ_in_compile_options_is_raced_once():
    stages = [variant(f"{b}{s}", BLOCK=b, num_stages=s) for b in (1, 2) for s in (1, 2, 3)]
    assert found(*stages, code="aabccc") == {"12": "11", "22": "21", "23": "21"}


def test_a_constant_of_the_program_may_change_its_grid_whatever_the_code():
    assert not found(variant("a", BLOCK=1, num_stages=1), variant("b", BLOCK=2, num_stages=1))
    assert not found(variant("a", num_warps=1), variant("b", num_warps=2))


def test_options_are_told_wherever_they_stand():
    first: dict[str, Any] = {"kernel::num_stages": 1, "tile.maxnreg": 64}
    second: dict[str, Any] = {"kernel::num_stages": 2, "tile.maxnreg": 32}
    assert found(variant("a", **first), variant("b", **second)) == {"b": "a"}


def test_what_is_not_known_or_started_elsewhere_is_left_out_for_none():
    pair = variant("a", num_stages=1), variant("b", num_stages=2)
    assert not found(*pair, code="  ") and not found(*pair, code="a ")
    assert not with_equal_code(pair, {})
    assert not found(variant("a", "w1", num_stages=1), variant("b", "w2", num_stages=2))
    assert not found(variant("a"), variant("b")), "programs as they are"


def test_an_option_of_a_launch_that_no_call_came_to_is_left_out_for_nothing():
    """Compiling has no results, and whether a kernel is launched may follow from them."""
    pair = variant("a", num_stages=1), variant("b", num_stages=2)
    for shown in ({}, {"num_stages": 1}, {"num_stages": 3}):
        checks = {v.name: check("x", shown) for v in pair}
        assert not with_equal_code(pair, checks)


def test_a_value_is_told_from_another_of_the_same_number():
    assert not alike([variant("a", ON=True, num_stages=1), variant("b", ON=1, num_stages=2)])


KERNEL = """import triton
import triton.language as tl


@triton.jit
def step(x, y, BLOCK: tl.constexpr):
    tl.store(y, tl.load(x))


"""
LAUNCH = "def run(x, y):\n    step[(4,)](x, y, BLOCK=64, num_stages=3)\n"


def grouped(source: str, constant: str = "num_stages", *, kernels: str = "\n") -> bool:
    """Whether variants of a program in the values of one constant may have one machine code."""
    sources = {"main.py": source, "kernels.py": kernels}
    program = make_solution(sources, definition="twice", entry_point="main.py::run")
    return bool(alike(grid_variants(program, {"": {constant: [1, 2]}})))


@pytest.mark.parametrize("constant", ["num_stages", "step.num_stages", "main.py::step.num_stages"])
def test_an_option_is_what_launches_alone_hold(constant):
    assert grouped(KERNEL + LAUNCH, constant)


@pytest.mark.parametrize(
    ("constant", "source"),
    [
        (
            "num_stages",
            "num_stages = 3\n\n\ndef run(x, y):\n    step[(num_stages,)](x, y, BLOCK=64)",
        ),
        ("tile.num_stages", "tile = {'num_stages': 3}\n\n\ndef run(x, y):\n    pass"),
        ("run.num_stages", "def run(x, y):\n    num_stages = 3"),
        ("num_stages", "def num_stages():\n    return 3\n\n\ndef run(x, y):\n    pass"),
        ("num_stages", "def run(x, y):\n    num_stages = 3\n    step[(num_stages,)](x, y)"),
    ],
)
def test_what_is_called_as_an_option_is_and_is_held_elsewhere_may_change_the_grid(constant, source):
    assert not grouped(KERNEL + source + "\n", constant)


@pytest.mark.parametrize(
    "changed",
    [
        ("BLOCK: tl.constexpr", "BLOCK: tl.constexpr, num_stages: tl.constexpr"),
        (
            "@triton.jit",
            "@triton.heuristics({'BLOCK': lambda given: given['num_stages']})\n@triton.jit",
        ),
        ("@triton.jit\n", ""),
        ("def run", "step = wrapped(step)\n\n\ndef run"),
    ],
)
def test_a_launch_of_what_takes_the_option_itself_may_change_the_grid(changed):
    assert not grouped((KERNEL + LAUNCH).replace(*changed))


def test_a_kernel_of_another_source_is_found_there():
    source = f"from .kernels import step\n\n\n{LAUNCH}"
    assert grouped(source, kernels=KERNEL)
    assert not grouped(source, kernels=KERNEL.replace("BLOCK:", "num_stages, BLOCK:"))
    assert not grouped(source, kernels="step = None\n")
