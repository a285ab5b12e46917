"""Claims and cheats agree, both ways."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from kernel_harness.tools.judge import integrity
from kernel_harness.tools.judge.failures import CLAIM_OF_FAULT
from kernel_harness.tools.schema.evaluation import Status

from .cheats import every_cheat
from .claims import CLAIMS

CHECKOUT = Path(__file__).parents[2]
FIELDS = {"status", "kind", "claim", "style", "language", "checks", "words", "held_out", "gone"}
FIELDS |= {"needs", "latency_at_least_us", "never_shown", "plan", "or"}


def test_every_cheat_attacks_exactly_one_claim():
    attacked = [cheat for claim in CLAIMS.values() for cheat in claim.cheats]
    assert sorted(attacked) == sorted(cheat.name for cheat in every_cheat())


@pytest.mark.parametrize("claim", CLAIMS)
def test_every_claim_is_attacked(claim):
    assert CLAIMS[claim].cheats or CLAIMS[claim].elsewhere


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_attacks_a_claim_elsewhere_exists(claim):
    for test in CLAIMS[claim].elsewhere:
        file, _, name = test.partition("::")
        tree = ast.parse((CHECKOUT / file).read_text())
        assert name in {n.name for n in tree.body if isinstance(n, ast.FunctionDef)}


def test_every_claim_that_the_judge_names_is_listed():
    named = {*integrity.REMEDIES, *CLAIM_OF_FAULT.values()}
    assert named <= set(CLAIMS)


@pytest.mark.parametrize("cheat", every_cheat(), ids=lambda cheat: cheat.name)
def test_a_header_says_what_must_become_of_a_cheat(cheat):
    assert cheat.words.endswith(".")
    assert set(cheat.expect) <= FIELDS
    assert cheat.expect["status"] in set(Status)
    assert cheat.expect.get("claim") in {None, *CLAIMS}
