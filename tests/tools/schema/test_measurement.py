"""One place says whether an evaluation is sealed, and its reason when it is not."""

import pytest

from kernel_harness.tools.schema.evaluation import (
    Scope,
    Status,
    WorkloadResult,
)
from kernel_harness.tools.schema.measurement import (
    BY_HOST,
    NO_SAMPLES,
    UNSEALABLE,
    KernelTime,
    Measurement,
    Sealing,
    TimeSource,
)
from tests.records import make_record

SEALED = Measurement(timer="cupti", cold_ns=[1000], clock=TimeSource.SEALED)
CLAIMED = Measurement(timer="cupti", cold_ns=[1000], clock_reason="it synchronises")
OTHER = Measurement(timer="cupti", cold_ns=[1000], clock_reason="it uses textures")
OLD = Measurement(timer="cupti", cold_ns=[1000])


def result(measurement=None, baseline=None, **fields):
    return WorkloadResult(
        uuid="w",
        axes={},
        status=Status.PASSED,
        measurement=measurement,
        baseline_measurement=baseline,
        **fields,
    )


def evaluation(*results):
    return make_record(scope=Scope.FULL, workloads=list(results))


@pytest.mark.parametrize(
    ("timed", "expected"),
    [
        (result(), None),
        (result(SEALED), Sealing(TimeSource.SEALED)),
        (result(SEALED, SEALED), Sealing(TimeSource.SEALED)),
        (result(CLAIMED, SEALED), Sealing(TimeSource.CLAIMED, "it synchronises")),
        (result(SEALED, CLAIMED), Sealing(TimeSource.CLAIMED, "it synchronises")),
        (result(OLD, OLD), Sealing(TimeSource.CLAIMED, UNSEALABLE)),
        (
            result(SEALED.model_copy(update={"by_host": True}), SEALED),
            Sealing(TimeSource.CLAIMED, BY_HOST),
        ),
        (result(latency_us=1.0), Sealing(TimeSource.CLAIMED, NO_SAMPLES)),
    ],
)
def test_a_workload_is_sealed_when_candidate_and_baseline_both_are(timed, expected):
    assert timed.sealing == expected


def test_an_evaluation_is_sealed_only_when_every_timed_workload_is():
    assert evaluation(result(SEALED), result(SEALED)).sealing == Sealing(TimeSource.SEALED)
    assert evaluation(result(), result(SEALED)).sealing == Sealing(TimeSource.SEALED)
    mixed = evaluation(result(SEALED), result(CLAIMED), result(OTHER))
    assert mixed.sealing == Sealing(TimeSource.CLAIMED, "it synchronises")


def test_an_evaluation_without_a_time_has_no_clock():
    assert evaluation(result(), result()).sealing is None
    assert evaluation().sealing is None


def test_a_clock_in_words_has_its_reason():
    assert Sealing(TimeSource.SEALED).words == "sealed"
    assert Sealing(TimeSource.CLAIMED, "it synchronises").words == "claimed: it synchronises"


def test_a_peers_own_kernels_are_those_that_are_neither_torchs_nor_copies():
    def kernel(origin, microseconds):
        return KernelTime(name="k", launches=2, share=0.1, microseconds=microseconds, origin=origin)

    kernels = [kernel("fla", 8.0), kernel("torch", 30.0), kernel("copy", 2.0), kernel("cublas", 1)]
    measured = Measurement(timer="cupti", cold_ns=[50_000, 52_000], kernels=kernels)
    assert measured.own_kernels_us == 4.5
    assert SEALED.own_kernels_us is None, "its kernels were not told"
