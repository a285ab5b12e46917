"""Which workloads a scope runs."""

from __future__ import annotations

import pytest

from kernel_harness.tools.evaluation.plan import chosen_workloads, work_estimate
from kernel_harness.tools.schema.evaluation import Scope
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.regimes import sample_shapes


@pytest.fixture(scope="module")
def indexer():
    return Dataset.load(load_settings({}).kernels_dir, []).operator("dsa_topk")


def test_scope_static_compiles_as_the_regime_with_the_most_time_is_called(indexer):
    sample = sample_shapes(indexer)
    ((uuid, regime, weight),) = chosen_workloads(indexer, Scope.STATIC, sample)
    shares = {r.name: r.latency_share or 0.0 for r in sample.regimes}
    assert regime is not None
    assert shares[regime] == max(shares.values())
    assert max(indexer.structure[uuid]["seq_lens"]) > 2048
    assert weight is None


def test_scope_smoke_takes_the_cheapest_workload(indexer):
    sample = sample_shapes(indexer)
    ((uuid, _, _),) = chosen_workloads(indexer, Scope.SMOKE, sample)
    assert work_estimate(indexer, uuid) == min(
        work_estimate(indexer, workload.uuid) for workload in indexer.workloads
    )


def test_named_workloads_are_taken_in_every_scope(indexer):
    sample = sample_shapes(indexer)
    wanted = [w.uuid for w in indexer.workloads[:2]]
    for scope in (Scope.STATIC, Scope.SAMPLE):
        chosen = chosen_workloads(indexer, scope, sample, wanted)
        assert {uuid for uuid, _, _ in chosen} == set(wanted)
