"""Finds operators, candidates and solutions by the names that callers use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .archive.retrieval.filters import regimes_meant
from .archive.retrieval.repeats import seen
from .archive.search.plans import inherited_plan, plan_notes, record_plan
from .archive.store.archive import Archive
from .archive.store.plans.commits import StoredPlan
from .archive.store.trials.lineage import candidate_or_trial
from .devices.gpus import pool_called
from .devices.targets import targets_named
from .errors import HarnessError, RequestError, unknown_name
from .evaluation.ladder.rungs import LADDER
from .evaluation.plan import EvaluationRequest, named_workloads
from .schema.evaluation import Evaluation, Scope
from .schema.flashinfer_trace import Solution
from .schema.measurement import Objective
from .schema.search.made_by import NOBODY, MadeBy
from .settings import Settings
from .workloads.dataset import Dataset
from .workloads.operators import REFERENCE, Operator
from .workloads.regimes import sample_shapes
from .workloads.solution_folder import given_solution, read_candidate_file, read_solution
from .workloads.templates.kinds import KINDS, template_solution
from .workloads.workspace import WorkspaceStart, confined, name_plan

if TYPE_CHECKING:
    from .tuning.service import TuningRequest

NOTHING = "nothing"
"""Compared with this, latencies are taken alone."""
TEMPLATE = "template"
DISPATCH = "dispatch"
"""Names the child that chooses by size between an operator's record holders."""


@dataclass(frozen=True)
class NamedCandidate:
    """The candidate that a caller named.

    Attributes:
        started_from: what its workspace was opened from; None when it is in no workspace.
        plan: id of the plan that the workspace names.
        tune: constants to try other values of, as the workspace names them.
    """

    operator: Operator
    solution: Solution
    started_from: str | None = None
    plan: str | None = None
    tune: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Lookup:
    """Looks names up in the dataset, the archive and the workspaces of one harness."""

    dataset: Dataset
    archive: Archive
    settings: Settings
    device: str

    def candidate(
        self,
        *,
        workspace: str | None = None,
        solution: Solution | dict[str, Any] | None = None,
        candidate: str | None = None,
    ) -> NamedCandidate:
        """Reads the candidate that exactly one of the arguments names.

        Raises:
            RequestError: when none or several are given, or it cannot be read.
        """
        given = [x for x in (workspace, solution, candidate) if x is not None]
        if len(given) != 1:
            raise RequestError(
                "It is not said which candidate" if not given else "Several candidates are named",
                remedy="Pass exactly one of workspace, solution, or candidate where it is taken.",
            )
        started_from, plan, tune = None, None, {}
        if workspace is not None:
            folder = confined(self.settings.workspaces_dir, workspace)
            said = read_candidate_file(folder)
            found = read_solution(folder, said=said)
            started_from, plan, tune = said.started_from, said.plan, said.tune
        elif candidate is not None:
            found = candidate_or_trial(self.archive, candidate)[1].solution()
        else:
            found = solution if isinstance(solution, Solution) else given_solution(solution)
        operator = self.dataset.operator(found.definition)
        return NamedCandidate(operator, found, started_from, plan, tune)

    def judged(
        self,
        evaluation_id: str,
        *,
        workspace: str | None = None,
        solution: Solution | dict[str, Any] | None = None,
    ) -> NamedCandidate:
        """The candidate that an evaluation judged: the one named, else the bytes of its trial.

        Raises:
            RequestError: when both are given, or none and there is no such trial.
        """
        if workspace is not None or solution is not None:
            return self.candidate(workspace=workspace, solution=solution)
        record = self.archive.trials.read(evaluation_id)
        found = record.solution()
        operator = self.dataset.operator(found.definition)
        return NamedCandidate(operator, found, plan=record.candidate.plan or None)

    def solution(self, operator: Operator, name: str, also: Sequence[str] = ()) -> Solution:
        """Returns a solution, peer, archived candidate or trial, or the definition's own code.

        Args:
            also: other names that are understood where this one is.

        Raises:
            RequestError: when none has that name.
        """
        shipped = operator.solutions() | operator.peers()
        if name in shipped:
            return shipped[name]
        if name == REFERENCE:
            return operator.reference()
        try:
            return candidate_or_trial(self.archive, name)[1].solution()
        except HarnessError as error:
            names = [*shipped, REFERENCE, *also]
            raise unknown_name("solution, peer or candidate", name, names) from error

    def start(self, operator: Operator, name: str, also: Sequence[str] = ()) -> Solution | None:
        """Returns what a new workspace starts from; None for the template.

        Args:
            also: other names that are understood where this one is.

        Raises:
            RequestError: when there is none of that name, or it is another operator's.
        """
        start = None if name == TEMPLATE else self.solution(operator, name, [TEMPLATE, *also])
        if start is not None and start.definition != operator.name:
            raise RequestError(
                f"{name!r} is for {start.definition}, not {operator.name}",
                remedy="Start from 'template' or from a solution of this operator.",
            )
        return start

    def workspace_start(
        self, operator: Operator, name: str, plan: str | None, template: str | None = None
    ) -> WorkspaceStart:
        """Returns what a new workspace starts from, by a name, a template or a plan.

        What starts from a failed candidate is to fix it, and carries the same plan out.

        Raises:
            RequestError: when there is none of that name, it is another operator's, a start is
                named beside the plan, or one candidate holds the record at every size.
        """
        if template is not None:
            if plan is not None or name != TEMPLATE:
                raise RequestError("Both a template and another start are named; leave one out")
            return WorkspaceStart(template_solution(operator.definition, template), TEMPLATE)
        if plan is None and name.partition(":")[0] == DISPATCH:
            return self._dispatching(operator, name.partition(":")[2])
        if plan is None:
            inherited = inherited_plan(self.archive, name)
            found = self.archive.plans.find(inherited) if inherited else None
            notes = plan_notes(self.archive.plans.read(found.plan_id)) if found else ""
            start = self._start_or_template(operator, name)
            return WorkspaceStart(start, name, found.plan_id if found else "", notes)
        if name != TEMPLATE:
            raise RequestError(
                "A plan says what it starts from", remedy="Leave start_from out, or plan."
            )
        chosen = self.archive.plans.read(plan)
        definition = chosen.record.definition
        if definition != operator.name:
            raise RequestError(
                f"Plan {plan} is for {definition}, not {operator.name}",
                remedy=f"open_workspace(definition={definition!r}, plan={plan!r}).",
            )
        parent = chosen.record.parent or TEMPLATE
        return WorkspaceStart(chosen.solution(), parent, chosen.plan_id, plan_notes(chosen))

    def _start_or_template(self, operator: Operator, name: str) -> Solution | None:
        """As `start`; the name of a template is refused with the argument that takes it."""
        try:
            return self.start(operator, name)
        except RequestError as error:
            if (kind := name.replace("-", "_")) in KINDS:
                raise RequestError(
                    f"{name!r} is a template, not a program", remedy=f"Pass template={kind!r}."
                ) from error
            raise

    def _dispatching(self, operator: Operator, named: str) -> WorkspaceStart:
        """The child of an operator's record holders, or of the candidates and trials named."""
        # Hardly a server is ever asked for it: its start need not wait for the modules.
        from .archive.search.dispatch.child import (
            MOST_PARENTS,
            dispatching_child,
            holders_among,
            records_of,
        )

        if named:
            found = holders_among(self.archive, [name.strip() for name in named.split(",")])
            if found is None or found.best.definition != operator.name:
                raise RequestError(
                    f"None of {named!r} ranks among the candidates of {operator.name}",
                    remedy="Name candidates or evaluations that were timed on a whole sample.",
                )
        else:
            found = records_of(self.archive, operator.name, most=MOST_PARENTS)
        child = dispatching_child(self.archive, operator.definition, found)
        return WorkspaceStart(child, found.best.candidate_id)

    def record_plan(
        self,
        hypothesis: str,
        *,
        workspace: str | None = None,
        solution: Solution | dict[str, Any] | None = None,
        expected_gain: float,
        confidence: float,
        regimes: Sequence[str] = (),
        tags: Sequence[str] = (),
        made_by: MadeBy = NOBODY,
    ) -> StoredPlan:
        """Stores an idea with its anchored sources; a workspace that is named then carries it out.

        Raises:
            RequestError: when anchors are malformed, the forecast is none, or a regime unknown.
        """
        found = self.candidate(workspace=workspace, solution=solution)
        known = [regime.name for regime in sample_shapes(found.operator).regimes]
        for asked in regimes:
            if not regimes_meant(known, asked):
                raise unknown_name(f"regime of {found.operator.name}", asked, known)
        plan = record_plan(
            self.archive,
            found.solution,
            found.started_from,
            hypothesis,
            expected_gain=expected_gain,
            confidence=confidence,
            regimes=regimes,
            tags=tags,
            made_by=made_by,
        )
        if workspace is not None:
            name_plan(confined(self.settings.workspaces_dir, workspace), plan.plan_id)
        return plan

    def evaluation_request(
        self,
        *,
        workspace: str | None = None,
        solution: Solution | dict[str, Any] | None = None,
        scope: str = Scope.SAMPLE,
        compare_to: str | None = None,
        targets: Sequence[str] | None = None,
        force: bool = False,
        objective: str | None = None,
        input_family: str | None = None,
        made_by: MadeBy = NOBODY,
        workloads: Sequence[str | Mapping[str, int]] | None = None,
        device: str | None = None,
    ) -> EvaluationRequest:
        """Makes the request that a call of evaluate_kernel means.

        Args:
            compare_to: a solution, peer or candidate, 'reference' or 'nothing'; None: the
                operator's baseline; 'ladder': it, and all else that computes the operator.
            objective: the times that rank; None: those of the operator's policy.
            input_family: of the inputs that are timed; None: the one that ranks.
            workloads: only these, by uuid or by sizes of some axes.
            device: the model of GPU, where the harness has several.

        Raises:
            RequestError: when a name is unknown.
        """
        if scope not in list(Scope):
            raise unknown_name("scope", scope, list(Scope))
        if objective is not None and objective not in list(Objective):
            raise unknown_name("objective", objective, list(Objective))
        found = self.candidate(workspace=workspace, solution=solution)
        if compare_to == LADDER and scope == Scope.STATIC:
            raise RequestError("Scope static times nothing", remedy="Ask for scope 'sample'.")
        if compare_to == NOTHING:
            baseline = None
        elif compare_to and compare_to != LADDER:
            baseline = self.solution(found.operator, compare_to, [LADDER, NOTHING])
        else:
            baseline = found.operator.baseline(cpu=self.device == "cpu")
        return EvaluationRequest(
            operator=found.operator,
            solution=found.solution,
            scope=Scope(scope),
            baseline=baseline,
            targets=targets_named(targets or (), self.settings.kernels_dir / "hardware.json"),
            force=force,
            started_from=found.started_from,
            plan=found.plan,
            made_by=made_by,
            ladder=compare_to == LADDER,
            objective=Objective(objective) if objective is not None else None,
            input_family=found.operator.timed_family(input_family),
            only=named_workloads(found.operator, workloads or ()),
            pool=pool_called(device, self.settings) if device else (),
        )

    def tuning_request(
        self,
        workspace: str | None = None,
        workspaces: Sequence[str] = (),
        variants: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        interpret: bool = False,
        **asked: Any,
    ) -> TuningRequest:
        """Makes the request that a call of evaluate_variants means.

        Args:
            workspace: whose constants vary, as `variants` says or else its own table [tune].
            workspaces: further programs of the same operator, each as it is.
            variants: by name, a grid of constants and their values.
            asked: as for `evaluation_request`.

        Raises:
            RequestError: when nothing varies, a constant cannot be changed, or a name is unknown.
        """
        from .tuning.service import TuningRequest
        from .tuning.variants import (
            MOST_VARIANTS,
            Variant,
            distinct,
            grid_variants,
            repeated_name,
        )

        named = [*([workspace] if workspace is not None else []), *workspaces]
        if (name := repeated_name(named)) is not None:
            raise RequestError(f"Workspace {name!r} is named twice", remedy="Name each once.")
        if not named:
            raise RequestError(
                "It is not said what varies",
                remedy="Pass workspace, whose constants vary, or workspaces, each as it is.",
            )
        base = self.evaluation_request(workspace=named[0], **asked)
        if base.ladder:
            raise RequestError("Variants have no ladder", remedy="Ask for it with the winner.")
        found: list[Variant] = []
        if workspace is not None:
            grids = variants or {"": self.candidate(workspace=workspace).tune}
            found += grid_variants(base.solution, grids)
            came = {"started_from": base.started_from, "plan": base.plan}
            found = [replace(variant, **came) for variant in found]
        elif variants:
            raise RequestError("Variants are of a workspace", remedy="Pass workspace, too.")
        for name in workspaces:
            other = self.candidate(workspace=name)
            if other.operator.name != base.operator.name:
                raise RequestError(
                    f"{name!r} is for {other.operator.name}, not {base.operator.name}",
                    remedy="Name workspaces of one operator.",
                )
            found.append(Variant(name, other.solution, {}, other.started_from, other.plan))
        if len(found) > MOST_VARIANTS:
            raise RequestError(f"{len(found)} variants; at most {MOST_VARIANTS} are tried at once")
        kept, repeated = distinct(found)
        return TuningRequest(kept, base, repeated, interpret)

    def sources(self, record: Evaluation, workspace: str | None = None) -> Iterator[Solution]:
        """Yields the solutions that a record may have judged: the workspace alone if one is named.

        Else those archived with the record's content, those shipped with the operator, and every
        workspace that can be read.
        """
        folder = self.settings.workspaces_dir
        if workspace is not None:
            yield read_solution(confined(folder, workspace))
            return
        for candidate_id in seen(self.archive, content_hash=record.content_hash):
            yield self.archive.get(candidate_id).solution()
        operator = self.dataset.operator(record.definition)
        yield from (operator.solutions() | operator.peers()).values()
        for manifest in sorted(Path(folder).glob("*/candidate.toml")):
            try:
                yield read_solution(manifest.parent)
            except HarnessError:
                continue
