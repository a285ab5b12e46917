"""The programs of a ladder."""

from __future__ import annotations

import ast

from kernel_harness.tools.evaluation.ladder import rungs
from kernel_harness.tools.evaluation.plan import CHECKS, EvaluationRequest
from kernel_harness.tools.evaluation.precheck import precheck
from kernel_harness.tools.schema.evaluation import Scope


def test_the_plainest_comes_first_and_peers_and_a_baseline_follow(shipped):
    operator = shipped.operator("gdn_decode")
    baseline = operator.baseline()
    found = rungs.rungs_of(operator, baseline)
    names = [rung.name for rung in found]
    assert names[:3] == [rungs.EAGER, rungs.COMPILED, rungs.AUTOTUNED]
    peers = [f"peer {name}" for name in operator.peers()]
    assert names[3:] == [*peers, f"baseline {baseline.name}"]
    assert len({rung.solution.content_hash() for rung in found}) == len(found)
    named = [r for r in found if r.solution.content_hash() == baseline.content_hash()]
    assert len(named) == 1


def test_a_peer_that_is_the_baseline_is_one_rung(shipped):
    operator = shipped.operator("gdn_decode")
    peer = next(iter(operator.peers().values()))
    assert len(rungs.rungs_of(operator, peer)) == 3 + len(operator.peers())


def test_what_is_compiled_is_the_reference_called_with_the_inputs(shipped):
    operator = shipped.operator("gdn_decode")
    made = rungs.compiled_reference(operator, "max-autotune-no-cudagraphs")
    assert precheck(made, operator.definition) is None
    added = next(s.content for s in made.sources if s.path == "compiled.py")
    assert 'mode="max-autotune-no-cudagraphs"' in added
    (run,) = [n for n in ast.parse(added).body if isinstance(n, ast.FunctionDef)]
    assert [a.arg for a in run.args.args] == list(operator.definition.inputs)
    assert made.content_hash() != rungs.compiled_reference(operator, "default").content_hash()


def test_one_set_is_checked_of_a_rung_and_few_calls_are_timed_of_one_that_may_be_slow(shipped):
    operator = shipped.operator("gdn_decode")
    found = rungs.rungs_of(operator, None)
    assert [rung.name for rung in found if rung.slow] == [rungs.EAGER, *rungs.MODES]
    for scope in (Scope.SAMPLE, Scope.FULL):
        request = EvaluationRequest(operator, found[0].solution, scope)
        slow, quick = found[0].checks(request), found[-1].checks(request)
        for checks in (slow, quick):
            assert checks.timed and (checks.trials, checks.families, checks.held_out) == (1, 0, 0)
        assert quick.blocks == CHECKS[scope].blocks > slow.blocks == 1
        assert slow.max_pairs < quick.max_pairs == CHECKS[scope].max_pairs


def test_each_leaves_time_for_timing_and_ends_and_a_whole_set_takes_what_is_quick_longer(shipped):
    for bounds in (rungs.SLOW, rungs.QUICK, rungs.QUICK_ON_ALL):
        assert 0 < bounds.timing_s < bounds.budget_s < bounds.ends_after_s
    slow, *_, quick = rungs.rungs_of(shipped.operator("gdn_decode"), None)
    assert slow.bounds(Scope.SAMPLE) == slow.bounds(Scope.FULL) == rungs.SLOW
    assert quick.bounds(Scope.SAMPLE) == rungs.QUICK
    assert quick.bounds(Scope.FULL) == quick.bounds(Scope.OFFICIAL) == rungs.QUICK_ON_ALL
