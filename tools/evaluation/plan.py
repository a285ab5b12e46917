"""A request and a scope become a plan: which workloads, how hard to look, against what.

Pure. A scope is a choice of numbers (`CHECKS`), so that what 'sample' means is read in one place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..devices.targets import compiled_targets, devices_of
from ..errors import DatasetError, RequestError, unknown_name
from ..messages.judge import Checks, EvaluatePlan, PlannedWorkload
from ..schema.evaluation import Evaluation, Executor, Scope
from ..schema.flashinfer_trace import Solution
from ..schema.measurement import Objective
from ..schema.search.made_by import NOBODY, MadeBy
from ..settings import Settings
from ..workloads.operators import Operator
from ..workloads.regimes import ShapeSample

CHECKS: dict[Scope, Checks] = {
    Scope.STATIC: Checks(execute=False, timed=False, trials=1),
    Scope.SMOKE: Checks(trials=1, families=0, pairs_per_block=10, max_pairs=10, warm_calls=3),
    Scope.SAMPLE: Checks(
        trials=2, families=1, held_out=3, sizes=4, size_seconds=0.5, determinism_runs=4,
        ghost_replay=True, blocks=3, pairs_per_block=10, max_pairs=30, half_width=0.015,
        warm_calls=3,
    ),
    Scope.FULL: Checks(
        trials=2, families=1, held_out=6, sizes=20, size_seconds=20.0, determinism_runs=4,
        ghost_replay=True, blocks=3, pairs_per_block=10, max_pairs=60, half_width=0.01,
        sanitizer=True, timed_held_out=6, sustained_passes=6, deployment=True,
    ),
    Scope.OFFICIAL: Checks(
        trials=3, families=0, held_out=6, sizes=20, size_seconds=20.0, determinism_runs=4,
        ghost_replay=True, blocks=3, pairs_per_block=17, max_pairs=51, half_width=0.0,
        warm_calls=10, sustained_passes=6,
    ),
}  # fmt: skip
"""What each scope means. The official one keeps the contest's three trials and 50 timed calls."""

WHOLE_SETS = (Scope.FULL, Scope.OFFICIAL)
"""Scopes of every workload that an operator has."""
PROMOTION_CALLS = 200
"""Checked calls before promotion: 1 - (1 - 0.015)^200 = 95.1 % chance to meet a 1.5 % fault."""

PROMOTION_SIZES = 59
"""Distinct sizes before promotion: 1 - (1 - 0.05)^59 = 95.2 % chance to meet a fault on 5 %."""
PROMOTION_SIZE_SECONDS = 600.0
INTERPRETED_SIZE_SECONDS = 3.0
INTERPRETED_PROMOTION_SIZE_SECONDS = 30.0


def interpreter_checks(checks: Checks) -> Checks:
    """The same scope on a machine without a GPU: one draw each, nothing timed."""
    return checks.model_copy(
        update={
            "trials": 1,
            "families": min(checks.families, 1),
            "held_out": min(checks.held_out, 3),
            "size_seconds": min(checks.size_seconds, INTERPRETED_SIZE_SECONDS),
            "determinism_runs": min(checks.determinism_runs, 2),
            "blocks": 1,
            "timed": False,
            "timed_held_out": 0,
            "sanitizer": False,
            "ghost_replay": False,
        }
    )


def promotion_checks(executor: Executor) -> Checks:
    """How hard the independent verification looks before a promotion."""
    checks = CHECKS[Scope.FULL].model_copy(
        update={
            "held_out": 12,
            "sizes": PROMOTION_SIZES,
            "size_seconds": PROMOTION_SIZE_SECONDS,
            "timed_held_out": 8,
            "families": 3,
            "correctness_budget": PROMOTION_CALLS,
        }
    )
    if executor is Executor.INTERPRETER:
        return interpreter_checks(checks).model_copy(
            update={
                "held_out": 6,
                "families": 2,
                "size_seconds": INTERPRETED_PROMOTION_SIZE_SECONDS,
            }
        )
    return checks


def replay_checks(record: Evaluation) -> Checks:
    """What a record checked, without what no seed repeats: times, streams, disabled kernels."""
    checks = CHECKS[record.scope]
    if record.evidence.checks:
        checks = Checks.model_validate(record.evidence.checks)
    return checks.model_copy(
        update={
            "timed": False,
            "ghost_replay": False,
            "determinism_runs": 0,
            "correctness_budget": 0,
            "sanitizer": False,
            "deployment": False,
        }
    )


@dataclass(frozen=True)
class TimeBounds:
    """What a program is given that may be slow, in seconds; a record cut by it answers later, too.

    Attributes:
        budget_s: from the end of the build on, for it, and as much for the reference.
        timing_s: of that, what checks leave for timing.
        ends_after_s: from the begin; then it is ended.
        again: judge again what was cut before.
    """

    budget_s: float
    timing_s: float
    ends_after_s: float
    again: bool = False


@dataclass(frozen=True)
class EvaluationRequest:
    """What to evaluate, how far, and against what.

    Attributes:
        baseline: what the latencies are compared with; None: latencies alone.
        targets: devices and architectures, for floors and compiling; empty: those of the settings.
        force: judge again although the same bytes were judged before.
        checks: replace what the scope means.
        objective: the times that rank; those of the operator's policy when None.
        input_family: of the inputs that are timed, where it is not the one that ranks.
        ladder: compare with everything else that computes the operator, too.
        only: uuids or beginnings of them, instead of those that the scope chooses.
        budget_s: replaces the settings' budget.
        bounds: of a program that may be slow, and is nobody's candidate: no commit is made of it.
        replay: an earlier record of these sources; its seeds are used again before new ones.
        started_from: what the candidate's workspace was opened from.
        plan: id of the plan that the workspace names.
        made_by: who asks, as far as it was said.
        sealed: times are sealed where they can be; else the candidate's process tells them, which
            is sooner, and enough to tell variants of one program apart before they are judged.
        devices: it runs on one of these, since it is compared with what ran there.
        pool: the devices of the model that was asked for, any of which will do; those of the
            service when empty.
        caller: the client that asks; those of one server take turns.
        race: of which it is a run; within one the judge keeps the kernels that were compiled.
    """

    operator: Operator
    solution: Solution
    scope: Scope
    baseline: Solution | None = None
    targets: Sequence[str] = ()
    force: bool = False
    checks: Checks | None = None
    only: Sequence[str] = ()
    budget_s: float | None = None
    bounds: TimeBounds | None = None
    replay: Evaluation | None = None
    started_from: str | None = None
    plan: str | None = None
    made_by: MadeBy = NOBODY
    objective: Objective | None = None
    input_family: str = ""
    ladder: bool = False
    sealed: bool = True
    devices: Sequence[str] = ()
    pool: Sequence[str] = ()
    caller: str = ""
    race: str = ""

    def devices_among(self, own: Sequence[str]) -> Sequence[str]:
        """The devices that it may run on, of a service with some of its own."""
        return self.devices or self.pool or own

    @property
    def ranked_by(self) -> Objective:
        """The times that rank."""
        return self.objective or self.operator.policy.objective

    @property
    def command(self) -> str:
        """The call in words: part of the evidence; equal for requests that mean the same trial."""
        base = self.baseline
        parts = {
            "scope": self.scope.value,
            "compare_to": f"{base.name}@{base.content_hash()[:12]}" if base else None,
            "targets": ",".join(self.targets),
            "workloads": ",".join(sorted(self.only)),
            "checks": self.checks.model_dump_json() if self.checks else None,
            "objective": ranked if (ranked := self.ranked_by) is not Objective.COLD else None,
            "input_family": self.input_family or None,
            "policy": self.operator.policy_digest or None,
            "clock": None if self.sealed else "claimed",
            "budget_s": f"{self.bounds.budget_s:g}" if self.bounds else None,
            "replay": self.replay.evaluation_id if self.replay else None,
        }
        return " ".join(["evaluate_kernel", *(f"{k}={v}" for k, v in parts.items() if v)])


def work_estimate(operator: Operator, uuid: str) -> float:
    """A number that grows with a workload's work."""
    return operator.expected_cost(uuid).work


def chosen_workloads(
    operator: Operator,
    scope: Scope,
    sample: ShapeSample,
    only: Sequence[str] = (),
    *,
    on_cpu: bool = False,
) -> list[tuple[str, str | None, float | None]]:
    """The uuid, regime and weight of each workload that a scope runs, or that `only` names.

    Cheapest first, so that a wrong candidate fails soon and a budget covers the most. Scope static
    takes the representative of each regime, that with the most time first: it runs nothing, and
    shows kernels as they are launched on each. Scope sample takes what estimates the mean latency;
    on a CPU, where nothing is timed and a program of a Triton kernel takes milliseconds, the
    cheapest workload of each regime.
    """
    every = [w.uuid for w in operator.workloads]
    order = {uuid: work_estimate(operator, uuid) for uuid in every}
    if only:
        uuids = sorted({operator.workload(u).uuid for u in only}, key=lambda u: order[u])
        return [(u, sample.regime_of(u), None) for u in uuids]
    if scope is Scope.STATIC and sample.regimes:
        heaviest = sorted(sample.regimes, key=lambda regime: -(regime.latency_share or 0.0))
        return [(regime.representative, regime.name, None) for regime in heaviest]
    if scope in (Scope.STATIC, Scope.SMOKE):
        uuids = sorted(every, key=lambda u: order[u])[:1]
        return [(u, sample.regime_of(u), None) for u in uuids]
    if scope is Scope.SAMPLE and on_cpu:
        cheapest = [(min(r.members, key=lambda u: order[u]), r) for r in sample.regimes]
        cheapest.sort(key=lambda found: order[found[0]])
        return [
            (u, r.name, sum(sample.weights.get(m, 0.0) for m in r.members)) for u, r in cheapest
        ]
    if scope is Scope.SAMPLE:
        uuids = sorted(sample.weights, key=lambda u: order[u])
        return [(u, sample.regime_of(u), sample.weights[u]) for u in uuids]
    uuids = sorted(every, key=lambda u: order[u])
    return [(u, sample.regime_of(u), 1 / len(uuids)) for u in uuids]


def _own_baseline_hash(operator: Operator, *, on_cpu: bool) -> str | None:
    """The hash of the baseline in the operator's folder, whose code the judge runs in any case."""
    with contextlib.suppress(DatasetError):  # one that is broken ends what is compared with it
        own = operator.baseline(cpu=on_cpu) if operator.folder is not None else None
        return own.content_hash() if own is not None else None
    return None


def _checks_of(request: EvaluationRequest, settings: Settings, *, on_cpu: bool) -> Checks:
    """How hard the judge is to look, what ranks, and for which targets it compiles."""
    checks = request.checks or CHECKS[request.scope]
    if on_cpu and request.checks is None:
        checks = interpreter_checks(checks)
    timed = {"objective": request.ranked_by.value, "input_family": request.input_family}
    checks = checks.model_copy(update=timed)
    # Beside a run on a device compilers take processors: only where somebody asked for targets.
    beside = request.checks is None and bool(request.targets) and request.scope is not Scope.SMOKE
    if not (on_cpu or request.scope is Scope.STATIC or beside):
        return checks
    hardware, default = request.solution.spec.target_hardware, settings.static_targets
    targets = compiled_targets(request.targets, hardware, default)
    return checks.model_copy(update={"static_targets": targets})


def make_plan(
    request: EvaluationRequest,
    evaluation_id: str,
    sample: ShapeSample,
    executor: Executor,
    settings: Settings,
) -> EvaluatePlan:
    """Makes the judge's orders of a request."""
    operator, solution, replay = request.operator, request.solution, request.replay
    on_cpu, table = executor is Executor.INTERPRETER, settings.kernels_dir / "hardware.json"
    bounds, usual_s = request.bounds, settings.cpu_budget_s if on_cpu else settings.gpu_budget_s
    checks = _checks_of(request, settings, on_cpu=on_cpu)
    whole = chosen_workloads(operator, request.scope, sample, on_cpu=on_cpu)
    chosen = whole
    if request.only:
        chosen = chosen_workloads(operator, request.scope, sample, request.only)
    asked = {uuid for uuid, _, _ in chosen}
    due = [uuid for uuid, _, _ in whole]
    by_uuid = {w.uuid: w.model_dump(mode="json") for w in operator.workloads if w.uuid in asked}
    baseline = request.baseline if checks.timed else None
    return EvaluatePlan(
        evaluation_id=evaluation_id,
        **operator.for_judge,
        policy=operator.policy.model_dump(mode="json") if operator.own_policy else None,
        solution=solution.model_dump(mode="json"),
        content_hash=solution.content_hash(),
        baseline=baseline.model_dump(mode="json") if baseline else None,
        baseline_hash=baseline.content_hash() if baseline else None,
        own_baseline_hash=_own_baseline_hash(operator, on_cpu=on_cpu),
        scope=request.scope.value,
        checks=checks,
        workloads=[
            PlannedWorkload(uuid=uuid, workload=by_uuid[uuid], regime=regime, weight=weight)
            for uuid, regime, weight in chosen
        ],
        public_workloads=operator.without_tensors,
        left_out=[uuid for uuid in due if uuid not in asked],
        unusable=list(operator.left_out) if request.scope in WHOLE_SETS else [],
        workload_digest=operator.digest,
        targets=devices_of(request.targets, table) or list(settings.targets),
        hardware_file=str(table),
        budget_s=bounds.budget_s if bounds else request.budget_s or usual_s,
        timing_s=bounds.timing_s if bounds else 0.0,
        ends_after_s=bounds.ends_after_s if bounds else None,
        build_timeout_s=settings.build_timeout_s,
        call_timeout_s=settings.call_timeout_s,
        sealed_clock=request.sealed and settings.sealed_clock == "auto",
        replay_seeds=dict(replay.evidence.seeds) if replay else {},
        replay_families=dict(replay.evidence.families) if replay else {},
        replay_generator=replay.evidence.input_source.generator.value if replay else "",
        race=request.race,
        command=request.command,
    )


def named_workloads(
    operator: Operator, named: Sequence[str | Mapping[str, int]]
) -> tuple[str, ...]:
    """The uuids of the workloads that are named, or that have these sizes.

    Raises:
        RequestError: when there is none such.
    """
    axes = {axis for workload in operator.workloads for axis in workload.axes}
    found: dict[str, None] = {}
    for one in named:
        if isinstance(one, str):
            found[operator.workload(one).uuid] = None
            continue
        if unknown := [axis for axis in one if axis not in axes]:
            raise unknown_name(f"axis of {operator.name}'s workloads", unknown[0], axes)
        alike = [w.uuid for w in operator.workloads if one.items() <= dict(w.axes).items()]
        if not alike or not one:
            raise RequestError(
                f"No workload of {operator.name} has {dict(one)}",
                remedy="list_workloads names their sizes; inspect_call takes sizes of your own, "
                "without a verdict.",
            )
        found |= dict.fromkeys(alike)
    return tuple(found)
