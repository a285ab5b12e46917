"""What is said of a program follows from its samples."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from kernel_harness.tools.model_level.verification.gains import ModelVerdict, compare_runs
from kernel_harness.tools.model_level.verification.verified_runs import (
    AppliedTarget,
    CallSpans,
    OutputDrift,
    TimedCall,
    TimedRun,
    VerifiedRuns,
)

NO_DRIFT = OutputDrift(1e-6, 1e-6, 1.0, "float32", 4)
FAR = OutputDrift(0.2, 3.0, 0.5, "float32", 4)


def run(step_us: float, rng: random.Random, host: float = 1.0) -> TimedRun:
    steps = [int(step_us * 1e3 * rng.uniform(0.99, 1.01)) for _ in range(10)]
    return TimedRun(tuple(steps), tuple(int(ns * host) for ns in steps), 0)


def target(original_us: float, kernel_us: float, calls: float = 2.0, drift=NO_DRIFT, host=None):
    def rounds(us: float):
        rng = random.Random(us)
        return tuple((host or us * rng.uniform(0.99, 1.01), us) for _ in range(15))

    repeated = CallSpans(rounds(original_us), rounds(kernel_us))
    call = TimedCall("float32[4, 8]", calls, repeated, drift)
    return AppliedTarget("layers.f", "f_n8", {}, (call,))


def runs(before_us: float, after_us: float, *targets: AppliedTarget, host=1.0) -> VerifiedRuns:
    rng = random.Random(3)
    pairs = [(run(before_us, rng, host), run(after_us, rng, host)) for _ in range(4)]
    return VerifiedRuns(
        None,
        tuple(before for before, _ in pairs),
        tuple(after for _, after in pairs),
        NO_DRIFT,
        NO_DRIFT,
        targets or (target(300, 100),),
    )


def test_measured_and_predicted_gain_agree_where_the_calls_save_what_the_step_does():
    # Two calls a step save 200 us each: 1000 us become 600.
    found = compare_runs(runs(1000, 600))
    assert found.verdict is ModelVerdict.FASTER and found.pairs == 40
    assert found.gain == pytest.approx(1000 / 600, rel=0.02)
    assert found.predicted.gain == pytest.approx(1000 / 600, rel=0.02)
    assert found.interval and found.interval[0] < (found.gain or 0) < found.interval[1]
    assert found.agree is True and found.predicted.host_bound and found.to_blame == ()


def test_a_gain_that_the_calls_do_not_explain_is_said():
    assert compare_runs(runs(1000, 800)).agree is False


def test_a_step_that_waits_for_the_device_is_predicted_by_the_device():
    calls = target(300, 100, host=50.0)
    assert compare_runs(runs(1000, 600, calls, host=0.3)).agree is True
    assert compare_runs(runs(1000, 600, calls)).predicted.gain == pytest.approx(1.0)


def test_a_slower_program_names_the_kernel():
    quick = replace(target(300, 250), target="layers.g")
    found = compare_runs(runs(1000, 1300, target(100, 300), quick))
    assert found.verdict is ModelVerdict.SLOWER and found.to_blame == ("layers.f",)


def test_equal_runs_are_equal():
    assert compare_runs(runs(1000, 1000, target(50, 50))).verdict is ModelVerdict.EQUAL


def test_drift_comes_before_time_and_names_the_kernel():
    wrong = target(300, 100, drift=FAR)
    found = compare_runs(replace(runs(1000, 600, wrong), drift=FAR))
    assert found.verdict is ModelVerdict.DRIFTED and found.to_blame == ("layers.f",)
    assert compare_runs(found.runs, tolerance=0.5).verdict is ModelVerdict.FASTER
    shapes = replace(FAR, relative=None)
    assert compare_runs(replace(found.runs, drift=shapes), 0.5).verdict is ModelVerdict.DRIFTED


def test_a_program_that_differs_from_itself_is_not_judged():
    odd = replace(runs(1000, 600), drift=FAR, repeated=FAR)
    assert compare_runs(odd).verdict is ModelVerdict.NOT_REPEATABLE
    silent = replace(runs(1000, 600), drift=replace(NO_DRIFT, outputs=0))
    assert compare_runs(silent).verdict is ModelVerdict.NOT_REPEATABLE


def test_calls_within_compiled_code_are_applied_and_predict_nothing():
    compiled = AppliedTarget("layers.f", "f_n8", {}, (), 40)
    found = compare_runs(runs(1000, 600, compiled))
    assert found.verdict is ModelVerdict.FASTER
    assert found.agree is None and not found.predicted.whole
    drifted = compare_runs(replace(found.runs, drift=FAR))
    assert drifted.verdict is ModelVerdict.DRIFTED and drifted.to_blame == ("layers.f",)


def test_an_interval_that_holds_nearly_all_agrees_with_nothing():
    wide = target(300, 100, calls=1.0)
    call = wide.calls[0]
    noisy = CallSpans(tuple((300.0 * (1 + n % 3), 300.0) for n in range(15)), call.repeated.kernel)
    found = compare_runs(runs(1000, 600, replace(wide, calls=(replace(call, repeated=noisy),))))
    assert found.predicted.interval[1] > 2 * found.predicted.interval[0]
    assert found.agree is None


def test_kernels_that_were_never_called_gain_nothing():
    unused = AppliedTarget("layers.f", "f_n8", {"another shape": 4}, ())
    assert compare_runs(runs(1000, 600, unused)).verdict is ModelVerdict.NOT_APPLIED
