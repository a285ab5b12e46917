"""Claims and cheats agree, both ways."""

from __future__ import annotations

from kernel_harness.tools.judge.checks import integrity
from kernel_harness.tools.judge.checks.failures import CLAIM_OF_FAULT
from kernel_harness.tools.schema.evaluation import Status
from tests.folding import for_each

from .cheats import every_cheat
from .claims import CLAIMS, exists
from .known_failure_modes import FAILURE_MODES

FIELDS = {"status", "kind", "claim", "style", "language", "checks", "words", "held_out", "gone"}
FIELDS |= {"needs", "latency_at_least_us", "long", "never_shown", "plan", "or", "or_no_latency"}
FIELDS |= {"binding", "parts", "sealed", "verified", "reason", "or_claimed", "sizes"}
ATTACKS_ON_TIME = [c for c in every_cheat() if c.family == "clock" and not c.is_honest]


def test_every_cheat_attacks_exactly_one_claim():
    attacked = [cheat for claim in CLAIMS.values() for cheat in claim.cheats]
    assert sorted(attacked) == sorted(cheat.name for cheat in every_cheat())


@for_each("claim", CLAIMS)
def test_every_claim_is_attacked(claim):
    assert CLAIMS[claim].cheats or CLAIMS[claim].elsewhere


@for_each("claim", CLAIMS)
def test_what_attacks_a_claim_elsewhere_exists(claim):
    assert all(exists(test) for test in CLAIMS[claim].elsewhere)


@for_each("mode", FAILURE_MODES, ids=lambda mode: mode.description)
def test_every_known_failure_mode_is_tried_or_says_why_not(mode):
    assert bool(mode.tried) != bool(mode.untried)
    known = {cheat.name for cheat in every_cheat()}
    assert all(exists(name) if "::" in name else name in known for name in mode.tried)


def test_every_cheat_has_a_known_failure_mode():
    tried = {name for mode in FAILURE_MODES for name in mode.tried}
    cheats = {c.name for c in every_cheat() if not c.is_honest}
    assert cheats <= tried


def test_cheats_and_honest_ones_come_in_every_language():
    for honest in (False, True):
        languages = {
            cheat.expect.get("language", "python")
            for cheat in every_cheat()
            if cheat.is_honest is honest
        }
        assert languages == {"python", "triton", "cuda", "cpp"}


def test_every_claim_that_the_judge_names_is_listed():
    named = {*integrity.REMEDIES, *CLAIM_OF_FAULT.values()}
    assert named <= set(CLAIMS)


@for_each(
    "cheat", [c for c in every_cheat() if c not in ATTACKS_ON_TIME], ids=lambda cheat: cheat.name
)
def test_a_header_says_what_must_become_of_a_cheat(cheat):
    assert cheat.description.endswith(".")
    assert set(cheat.expect) <= FIELDS
    assert cheat.expect["status"] in set(Status)
    assert cheat.expect.get("claim") in {None, *CLAIMS}
