"""Draws the held-out cases of one trial: sizes, contents and scalars that no agent was shown.

Where the operator's inputs.py has `held_out`, its sizes are used, for only it knows which contents
go with them. Otherwise sizes are drawn from the definition's (`workloads/held_out.py`). Where sizes
cannot be drawn at all (tensors that come from files, contents that a constraint ties to the axes),
the public workloads' sizes are called with other scalars.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...messages.judge import EvaluatePlan
from ...schema.constraints import ConstraintStatus
from ...schema.flashinfer_trace import Workload
from ...workloads.held_out import UNIFORM, Scalar, SizeSpace, draw_scalars
from .generic_operator import Value
from .input_sets import SeedBook, fresh_seed
from .operator_adapter import Case, OperatorAdapter

HELD_OUT = "held_out"
"""Key of the held-out cases among checks that were run or not, and of their seed."""
OWN_DRAWS = 4
"""How often an operator's `held_out` is asked until it has given enough distinct sizes."""


@dataclass(frozen=True)
class HeldOutCases:
    """The held-out cases of a trial.

    Args:
        cases: those of chosen kinds first, then those drawn uniformly.
        public_scalars: by uuid, the scalars of a public workload, to tell a fault of sizes from one
            of scalars.
        legal: how many sizes there are beside the public ones; None where they were not counted.
    """

    cases: tuple[Case, ...] = ()
    public_scalars: Mapping[str, dict[str, Value]] = field(default_factory=dict)
    legal: int | None = None


def planned_held_out(
    plan: EvaluatePlan, operator: OperatorAdapter, cases: Sequence[Case], book: SeedBook
) -> HeldOutCases:
    """The held-out cases that a plan asks for; their seed is recorded, or the recorded one used."""
    checks = plan.checks
    if not checks.held_out or not cases:
        return HeldOutCases()
    seed = (plan.replay_seeds.get(HELD_OUT) or [fresh_seed()])[0]
    drawn = draw_held_out(
        operator,
        random.Random(seed),
        cases,
        [Workload.model_validate(dump) for dump in plan.public_workloads],
        chosen=checks.held_out,
        uniform=checks.sizes,
        timed=checks.timed_held_out,
    )
    if drawn.cases:
        book.seeds[HELD_OUT] = [seed]
    return drawn


def draw_held_out(
    operator: OperatorAdapter,
    rng: random.Random,
    cases: Sequence[Case],
    public: Sequence[Workload],
    *,
    chosen: int,
    uniform: int,
    timed: int = 0,
) -> HeldOutCases:
    """Draws the held-out cases of one trial; the same ones for the same state of `rng`.

    Args:
        cases: of the trial, cheapest first.
        public: every public workload of the operator.
        chosen: how many sizes of chosen kinds are due.
        uniform: how many uniformly drawn ones are due besides.
        timed: how many sizes beside public ones are due besides, on which speed is compared.
    """
    known = [operator.case(workload) for workload in public] or list(cases)
    space = SizeSpace(operator.definition, operator.policy, [case.axes for case in known])
    own = _own_sizes(operator, rng, space, chosen, uniform)
    legal = None
    if own is not None:
        items = own
    elif _any_size(operator, [*cases, *known]):
        drawn = space.draw(rng, uniform, chosen, timed)
        items, legal = [{"axes": size.axes, "draw": size.kind} for size in drawn], space.count
    else:
        bases = [cases[0], *(rng.choice(cases) for _ in range(chosen - 1))]
        items, legal = [{"axes": base.axes, "draw": "scalars", "base": base} for base in bases], 0
    return _with_scalars(operator, rng, known, items, legal)


def _own_sizes(
    operator: OperatorAdapter, rng: random.Random, space: SizeSpace, chosen: int, uniform: int
) -> list[dict[str, Any]] | None:
    """Sizes by the operator's `held_out`; None when it has none."""
    first = operator.own_held_out(rng, chosen)
    if first is None:
        return None
    items = [{**item, "draw": str(item.get("kind") or "own")} for item in first]
    if len(space.free_axes) == 1 and not any(item.get("structure") for item in items):
        taken = [item["axes"] for item in items]
        more = [s.axes for s in space.draw(rng, uniform, 0) if s.axes not in taken]
        return [*items, *({"axes": axes, "draw": UNIFORM} for axes in more)]
    seen = {_key(item) for item in items}
    due = len(items) + uniform
    for _ in range(OWN_DRAWS):
        for item in operator.own_held_out(rng, max(due - len(items), 0)) or ():
            if _key(item) not in seen and len(items) < due:
                seen.add(_key(item))
                items.append({**item, "draw": UNIFORM})
    return items


def _key(item: Mapping[str, Any]) -> str:
    facts = (item["axes"], item.get("structure"))
    return json.dumps(facts, sort_keys=True, default=str)


def _any_size(operator: OperatorAdapter, cases: Sequence[Case]) -> bool:
    """Whether inputs can be made for any legal size: nothing but the axes decides them."""
    if any(case.files or case.structure for case in cases):
        return False
    if not operator.definition.var_axes:
        return False
    checks = operator.definition.check_constraints(cases[0].axes)
    tied = any(check.outcome is ConstraintStatus.UNDECIDED for check in checks)
    return operator.makes_own_inputs or not tied


def _with_scalars(
    operator: OperatorAdapter,
    rng: random.Random,
    known: Sequence[Case],
    items: Sequence[Mapping[str, Any]],
    legal: int | None,
) -> HeldOutCases:
    values: dict[str, list[Scalar]] = {}
    for case in known:
        for name, value in case.scalars.items():
            if isinstance(value, bool | int | float):
                values.setdefault(name, []).append(value)
    drawn: list[Case] = []
    public_scalars: dict[str, dict[str, Value]] = {}
    for position, item in enumerate(items):
        base: Case = item.get("base") or rng.choice(known)
        own = dict(item.get("scalars") or {})
        fresh = draw_scalars(operator.definition, operator.policy, values, rng, position)
        if "base" in item and fresh == base.scalars:
            continue
        uuid = f"held-out-{position}"
        public_scalars[uuid] = {**base.scalars, **own}
        drawn.append(
            Case(
                uuid=uuid,
                axes=dict(item["axes"]),
                structure=item["base"].structure if "base" in item else item.get("structure"),
                scalars={**base.scalars, **fresh, **own},
                files=item["base"].files if "base" in item else {},
                statistics=base.statistics,
                held_out=True,
                draw=item["draw"],
            )
        )
    return HeldOutCases(tuple(drawn), public_scalars, legal)
