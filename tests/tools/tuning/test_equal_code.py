"""Variants with one machine code are told by compile options alone, and by code that is known."""

from __future__ import annotations

from typing import Any

from kernel_harness.tools.tuning.equal_code import alike, with_equal_code
from kernel_harness.tools.tuning.variants import Variant

from ...judging import make_solution

PROGRAM = make_solution("def run(x):\n    return x\n", definition="twice")


def variant(name: str, came: str | None = None, **values: Any) -> Variant:
    return Variant(name, PROGRAM, values, started_from=came)


def found(*variants: Variant, code: str | None = None) -> dict[str, str]:
    """Those with equal code, of variants whose machine codes are these letters."""
    known = dict(zip([v.name for v in variants], code or "x" * len(variants), strict=True))
    return with_equal_code(variants, {name: digest.strip() for name, digest in known.items()})


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


def test_a_value_is_told_from_another_of_the_same_number():
    assert not alike([variant("a", ON=True, num_stages=1), variant("b", ON=1, num_stages=2)])
