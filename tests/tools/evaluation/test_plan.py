"""Which workloads a scope runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kernel_harness.tools.evaluation.plan import (
    CHECKS,
    EvaluationRequest,
    TimeBounds,
    chosen_workloads,
    make_plan,
    promotion_checks,
    work_estimate,
)
from kernel_harness.tools.messages.judge import Checks
from kernel_harness.tools.schema.evaluation import Executor, Scope
from kernel_harness.tools.settings import load_settings
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.policy import Policy, Tolerance
from kernel_harness.tools.workloads.regimes import sample_shapes


@pytest.fixture(scope="module")
def indexer():
    return Dataset.load(load_settings({}).kernels_dir, []).operator("dsa_topk")


def test_scope_static_compiles_as_each_regime_is_called_the_most_time_first(indexer):
    sample = sample_shapes(indexer)
    chosen = chosen_workloads(indexer, Scope.STATIC, sample)
    shares = {r.name: r.latency_share or 0.0 for r in sample.regimes}
    listed = [shares[regime or ""] for _, regime, _ in chosen]
    assert listed == sorted(shares.values(), reverse=True)
    assert max(indexer.structure[chosen[0][0]]["seq_lens"]) > 2048
    assert {uuid for uuid, _, _ in chosen} == {r.representative for r in sample.regimes}
    assert {weight for _, _, weight in chosen} == {None}


@pytest.mark.parametrize(
    ("targets", "hardware", "compiled", "floors"),
    [
        ((), ["cuda"], ["sm_100", "sm_90"], ["B200", "H200"]),
        (("sm_100",), ["cuda"], ["sm_100"], ["B200"]),
        (("H200",), ["cuda"], ["sm_90"], ["H200"]),
        ((), ["B200"], ["sm_100"], ["B200", "H200"]),
    ],
)
def test_targets_decide_what_is_compiled_and_which_floors_are_shown(
    indexer, targets, hardware, compiled, floors
):
    solution = next(iter(indexer.peers().values()))
    spec = solution.spec.model_copy(update={"target_hardware": hardware})
    solution = solution.model_copy(update={"spec": spec})
    request = EvaluationRequest(indexer, solution, Scope.STATIC, targets=targets)
    plan = make_plan(request, "ev", sample_shapes(indexer), Executor.CUDA, load_settings({}))
    assert (plan.checks.static_targets, plan.targets) == (compiled, floors)


def test_scope_smoke_takes_the_cheapest_workload(indexer):
    sample = sample_shapes(indexer)
    ((uuid, _, _),) = chosen_workloads(indexer, Scope.SMOKE, sample)
    assert work_estimate(indexer, uuid) == min(
        work_estimate(indexer, workload.uuid) for workload in indexer.workloads
    )


def test_a_sample_on_a_cpu_is_the_cheapest_workload_of_each_regime(indexer):
    sample = sample_shapes(indexer)
    chosen = chosen_workloads(indexer, Scope.SAMPLE, sample, on_cpu=True)
    assert sorted(regime or "" for _, regime, _ in chosen) == sorted(r.name for r in sample.regimes)
    costs = [work_estimate(indexer, uuid) for uuid, _, _ in chosen]
    assert costs == sorted(costs)
    members = {r.name: r.members for r in sample.regimes}
    for uuid, regime, _ in chosen:
        assert regime is not None
        assert work_estimate(indexer, uuid) == min(
            work_estimate(indexer, member) for member in members[regime]
        )
    weighed = sum(weight or 0.0 for _, _, weight in chosen)
    assert weighed == pytest.approx(sum(sample.weights.values()))


def test_named_workloads_are_taken_in_every_scope(indexer):
    sample = sample_shapes(indexer)
    wanted = [w.uuid for w in indexer.workloads[:2]]
    for scope in (Scope.STATIC, Scope.SAMPLE):
        chosen = chosen_workloads(indexer, scope, sample, wanted)
        assert {uuid for uuid, _, _ in chosen} == set(wanted)


def test_a_plan_says_which_workloads_of_its_scope_were_not_asked_for(indexer):
    every = [w.uuid for w in indexer.workloads]
    solution = next(iter(indexer.peers().values()))

    def left_out(**request) -> list[str]:
        asked = EvaluationRequest(indexer, solution, **request)
        sample = sample_shapes(indexer)
        plan = make_plan(asked, "ev", sample, Executor.INTERPRETER, load_settings({}))
        return plan.left_out

    assert left_out(scope=Scope.FULL) == []
    assert set(left_out(scope=Scope.FULL, only=every[:1])) == set(every[1:])
    assert left_out(scope=Scope.FULL, only=every) == []


def test_times_that_rank_are_of_three_pairs_of_processes_and_smokes_of_one():
    blocks = {scope: checks.blocks for scope, checks in CHECKS.items() if checks.timed}
    assert blocks == {Scope.SMOKE: 1, Scope.SAMPLE: 3, Scope.FULL: 3, Scope.OFFICIAL: 3}


def test_before_a_promotion_so_much_is_called_that_rare_faults_are_met():
    checks = promotion_checks(Executor.CUDA)
    assert checks.blocks == 3 and checks.timed_held_out
    assert 1 - 0.95**checks.sizes >= 0.95
    assert 1 - (1 - 0.015) ** checks.correctness_budget >= 0.95


def test_every_scope_that_ranks_has_held_out_workloads():
    assert all(CHECKS[s].held_out for s in (Scope.SAMPLE, Scope.FULL, Scope.OFFICIAL))


@pytest.mark.parametrize(
    ("scope", "targets", "checks", "compiled"),
    [
        (Scope.SAMPLE, ["sm_100"], None, ["sm_100"]),
        (Scope.FULL, ["sm_100", "sm_90"], None, ["sm_100", "sm_90"]),
        (Scope.FULL, [], None, []),
        (Scope.SMOKE, ["sm_100"], None, []),
        (Scope.SAMPLE, ["sm_100"], Checks(), []),
    ],
)
def test_beside_a_whole_run_on_a_gpu_the_targets_that_were_asked_for_are_compiled(
    indexer, scope, targets, checks, compiled
):
    solution = next(iter(indexer.peers().values()))
    request = EvaluationRequest(indexer, solution, scope, targets=targets, checks=checks)
    plan = make_plan(request, "ev", sample_shapes(indexer), Executor.CUDA, load_settings({}))
    assert plan.checks.static_targets == compiled


def test_a_policy_of_its_own_goes_into_plan_and_command(indexer):
    solution = next(iter(indexer.peers().values()))
    loose = Policy(tolerance=Tolerance(atol=1.0, rtol=0.3, required_matched_ratio=0.9))
    own = replace(indexer, policy=loose, own_policy=True)
    plans = [
        make_plan(
            EvaluationRequest(operator, solution, Scope.SMOKE),
            "ev-1",
            sample_shapes(operator),
            Executor.INTERPRETER,
            load_settings({}),
        )
        for operator in (indexer, own)
    ]
    assert [p.policy for p in plans] == [None, loose.model_dump(mode="json")]
    assert "policy=" not in plans[0].command
    assert f"policy={own.policy_digest}" in plans[1].command
    assert own.judged_by() != indexer.judged_by()


def test_the_plan_says_on_which_family_of_inputs_times_are_taken(indexer):
    solution = next(iter(indexer.peers().values()))
    sample = sample_shapes(indexer)
    for checks in (None, Checks()):
        request = EvaluationRequest(
            indexer, solution, Scope.SAMPLE, checks=checks, input_family="ties"
        )
        plan = make_plan(request, "ev", sample, Executor.CUDA, load_settings({}))
        assert plan.checks.input_family == "ties"


@pytest.mark.parametrize("chosen", ["", "peers", "solutions"])
def test_the_plan_names_the_operator_s_own_baseline_whatever_it_is_compared_with(indexer, chosen):
    solution = next(iter(indexer.peers().values()))
    baseline = next(iter(getattr(indexer, chosen)().values())) if chosen else None
    request = EvaluationRequest(indexer, solution, Scope.SAMPLE, baseline=baseline)
    plan = make_plan(request, "ev", sample_shapes(indexer), Executor.CUDA, load_settings({}))
    own = indexer.baseline()
    assert own is not None and plan.own_baseline_hash == own.content_hash()
    assert plan.baseline_hash == (baseline.content_hash() if baseline else None)


def test_a_baseline_that_is_not_there_is_no_fault_of_what_is_compared_with_nothing(indexer):
    solution = next(iter(indexer.peers().values()))
    broken = replace(indexer, policy=Policy(baseline="nowhere"), own_policy=True)
    request = EvaluationRequest(broken, solution, Scope.SMOKE)
    plan = make_plan(request, "ev", sample_shapes(indexer), Executor.CUDA, load_settings({}))
    assert plan.own_baseline_hash is None


def test_a_program_that_may_be_slow_is_given_its_own_budget_and_an_end(indexer):
    solution = next(iter(indexer.peers().values()))
    usual = EvaluationRequest(indexer, solution, Scope.SAMPLE)
    bounded = replace(usual, bounds=TimeBounds(budget_s=20.0, timing_s=8.0, ends_after_s=90.0))
    sample, settings = sample_shapes(indexer), load_settings({})
    plan = make_plan(bounded, "ev", sample, Executor.CUDA, settings)
    assert (plan.budget_s, plan.timing_s, plan.ends_after_s) == (20.0, 8.0, 90.0)
    assert plan.command == f"{usual.command} budget_s=20"
    plan = make_plan(usual, "ev", sample, Executor.CUDA, settings)
    assert (plan.budget_s, plan.timing_s, plan.ends_after_s) == (settings.gpu_budget_s, 0.0, None)
