"""Latency against each floor, as an agent reads it."""

from __future__ import annotations

from kernel_harness.server.answers.evaluation import sol_exec_bench, sol_percents
from kernel_harness.tools.schema.evaluation import Status, WorkloadResult

FLOORS = {"nominal": 2.0, "calibrated": 2.5, "latency": 6.0}


def result(**changes) -> WorkloadResult:
    values = {
        "uuid": "w",
        "axes": {"n": 1},
        "status": Status.PASSED,
        "latency_us": 5.0,
        "baseline_latency_us": 8.0,
        "device_floors_us": FLOORS,
    }
    return WorkloadResult(**(values | changes))


def test_every_floor_has_its_share_and_the_estimate_may_be_beaten():
    assert sol_percents(result()) == {"nominal": 40.0, "calibrated": 50.0, "latency": 120.0}


def test_without_a_latency_or_a_known_device_nothing_is_claimed():
    assert sol_percents(result(latency_us=None)) == {}
    assert sol_percents(result(device_floors_us={})) == {}
    assert sol_exec_bench(result(latency_us=None)) is None
    assert sol_exec_bench(result(device_floors_us={})) is None


def test_the_guarded_score_is_a_half_at_the_baseline_and_absent_below_the_floor():
    assert sol_exec_bench(result(latency_us=8.0)) == 0.5
    assert sol_exec_bench(result()) == 0.6667
    assert sol_exec_bench(result(latency_us=1.9)) is None
    assert sol_exec_bench(result(baseline_latency_us=2.0)) is None
