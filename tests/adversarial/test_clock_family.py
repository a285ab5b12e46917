"""The family `clock` without a device: its headers, its files, and what counts as refused."""

from __future__ import annotations

import ast
import importlib

import pytest

from kernel_harness.tools.schema.evaluation import Evaluation, Status, WorkloadResult
from kernel_harness.tools.schema.measurement import Measurement, TimeSource

from .cheats import Cheat, every_cheat
from .expectations import OUTCOMES, clock_outcome, clock_plan

FAMILY = {cheat.name: cheat for cheat in every_cheat() if cheat.family == "clock"}
HONEST = [cheat for cheat in FAMILY.values() if cheat.is_honest]
ATTACKS = [cheat for cheat in FAMILY.values() if not cheat.is_honest]
FIELDS = {"needs", "parts", "style", "plan", "gone", "told", "gain", "twin", "refused"}


def test_there_are_enough_attacks_and_honest_twins():
    assert len(ATTACKS) >= 25 and len(HONEST) >= 12


@pytest.mark.parametrize("cheat", ATTACKS, ids=lambda cheat: cheat.name)
def test_an_attack_says_what_it_would_gain_and_how_it_is_refused(cheat: Cheat):
    expect = cheat.expect
    assert cheat.description.endswith(".")
    assert set(expect) <= FIELDS and expect["gain"] and expect["needs"] == "cuda"
    assert set(expect["refused"]) <= {*Status, *OUTCOMES} - {"PASSED", "gain"}
    twin = FAMILY[expect["twin"]]
    assert twin.is_honest and twin.expect.get("style") == expect.get("style")


@pytest.mark.parametrize("cheat", HONEST, ids=lambda cheat: cheat.name)
def test_an_honest_twin_must_be_sealed(cheat: Cheat):
    assert cheat.expect["status"] == "PASSED" and cheat.expect["sealed"] is True


@pytest.mark.parametrize("cheat", FAMILY.values(), ids=lambda cheat: cheat.name)
def test_a_file_hands_in_all_that_it_imports(cheat: Cheat):
    given = {name.removesuffix(".py") for name in cheat.sources}
    for text in (text for name, text in cheat.sources.items() if name.endswith(".py")):
        found = (n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom))
        wanted = {n.module for n in found if n.level == 1}
        assert wanted <= given


@pytest.mark.parametrize("cheat", FAMILY.values(), ids=lambda cheat: cheat.name)
def test_nothing_happens_before_the_first_call(cheat: Cheat):
    """Attacks are mounted by a call, so that a file can be imported without a device."""
    module = importlib.import_module(f"..{cheat.name.replace('/', '.')}", f"{__package__}.x")
    assert callable(getattr(module, "run", None)) or cheat.expect["language"] == "cuda"


def test_an_attack_is_timed_beside_its_twin():
    cheat = FAMILY["clock/replaced_bytecode"]
    plan = clock_plan(cheat, FAMILY[cheat.expect["twin"]])
    assert plan.baseline is not None and plan.checks.timed
    assert {s["path"] for s in plan.solution["sources"]} == {"kernel.py", "_rows.py", "_inside.py"}


# --- outcomes ---------------------------------------------------------------------------------

ATTACK = Cheat("clock/x", "", "")
WARM = Cheat("clock/x", "", "", {"told": "warm_ns"})


def measured(cold: int, warm: int, clock: str) -> Measurement:
    return Measurement(
        timer="cupti", cold_ns=[cold] * 8, warm_ns=[warm] * 3, clock=TimeSource(clock)
    )


def record_of(
    ours: Measurement | None, theirs: Measurement | None, status: Status = Status.PASSED
) -> Evaluation:
    """As much of a record as an outcome is told from."""
    workload = WorkloadResult.model_construct(measurement=ours, baseline_measurement=theirs)
    return Evaluation.model_construct(status=status, workloads=[workload])


@pytest.mark.parametrize(
    ("ours", "expected"),
    [(98, "gain"), (99, "no gain"), (200, "no gain")],
)
def test_a_time_two_per_cent_below_the_twins_is_a_gain(ours, expected):
    record = record_of(measured(ours, 10, "sealed"), measured(100, 10, "sealed"))
    assert clock_outcome(ATTACK, record)[0] == expected


def test_only_what_an_attack_would_make_shorter_counts():
    record = record_of(measured(100, 5, "sealed"), measured(100, 10, "sealed"))
    assert clock_outcome(ATTACK, record) == ("no gain", pytest.approx(1.0))
    assert clock_outcome(WARM, record) == ("gain", pytest.approx(2.0))


def test_a_claimed_time_is_no_gain_however_short():
    record = record_of(measured(1, 1, "claimed"), measured(100, 10, "claimed"))
    assert clock_outcome(ATTACK, record)[0] == "claimed"


def test_without_a_time_there_is_no_gain():
    assert clock_outcome(ATTACK, record_of(None, None)) == ("untimed", None)


def test_a_failure_is_told_by_its_status():
    record = record_of(None, None, Status.INTEGRITY_VIOLATION)
    assert clock_outcome(ATTACK, record) == ("INTEGRITY_VIOLATION", None)
