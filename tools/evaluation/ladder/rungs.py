"""The programs that a candidate is compared with on a ladder, the plainest first. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...messages.judge import Checks
from ...schema.evaluation import Scope
from ...schema.flashinfer_trace import Solution, SourceFile
from ...workloads.operators import Operator
from ..plan import CHECKS, WHOLE_SETS, EvaluationRequest, TimeBounds

LADDER = "ladder"
EAGER, COMPILED, AUTOTUNED = "PyTorch eager", "torch.compile", "torch.compile max-autotune"
BASELINE, PEER = "baseline", "peer"
MODES = {COMPILED: "default", AUTOTUNED: "max-autotune-no-cudagraphs"}
"""Torch's own graphs return the same memory in each call, which callers do not expect."""
QUICK = TimeBounds(budget_s=60.0, timing_s=30.0, ends_after_s=180.0)
QUICK_ON_ALL = TimeBounds(budget_s=300.0, timing_s=150.0, ends_after_s=420.0)
"""On the whole set of workloads, each of which takes a kernel half a second."""
SLOW = TimeBounds(budget_s=20.0, timing_s=10.0, ends_after_s=120.0)
"""A reference may loop in Python, thousands of launches a call, and take minutes to compile."""
ONE_CHECKED_SET: dict[str, Any] = {
    "trials": 1,
    "families": 0,
    "held_out": 0,
    "sizes": 0,
    "timed_held_out": 0,
    "determinism_runs": 0,
    "ghost_replay": False,
    "sanitizer": False,
    "deployment": False,
}
FEW_CALLS: dict[str, Any] = {
    "blocks": 1,
    "pairs_per_block": 10,
    "max_pairs": 10,
    "warm_calls": 1,
    "sustained_passes": 0,
}


@dataclass(frozen=True)
class Rung:
    """One program of the ladder.

    Attributes:
        name: what a table calls it.
        slow: it may be far slower than a kernel is.
    """

    name: str
    solution: Solution
    slow: bool = False

    def checks(self, request: EvaluationRequest) -> Checks:
        """The scope's way of timing, with one checked set of inputs: it is nobody's candidate.

        Of one that may be slow a few calls are timed in one process: it differs by factors.
        """
        fewer = FEW_CALLS if self.slow else {}
        return CHECKS[request.scope].model_copy(update={**ONE_CHECKED_SET, **fewer})

    def bounds(self, scope: Scope) -> TimeBounds:
        """The time that it is given."""
        if self.slow:
            return SLOW
        return QUICK_ON_ALL if scope in WHOLE_SETS else QUICK


def rungs_of(operator: Operator, baseline: Solution | None) -> list[Rung]:
    """The reference three times, the peers, and the baseline where it is none of them."""
    found = [Rung(EAGER, operator.reference(), slow=True)]
    found += [
        Rung(name, compiled_reference(operator, mode), slow=True) for name, mode in MODES.items()
    ]
    found += [Rung(f"{PEER} {name}", peer) for name, peer in operator.peers().items()]
    known = {rung.solution.content_hash() for rung in found}
    if baseline is not None and baseline.content_hash() not in known:
        found.append(Rung(f"{BASELINE} {baseline.name}", baseline))
    return found


def compiled_reference(operator: Operator, mode: str) -> Solution:
    """The definition's own code, compiled by torch in one of its modes."""
    reference = operator.reference()
    names = ", ".join(operator.definition.inputs)
    source = _compiling(names, mode)
    return reference.model_copy(
        update={
            "name": f"{reference.name}_{mode.replace('-', '_')}",
            "spec": reference.spec.model_copy(update={"entry_point": "compiled.py::run"}),
            "sources": [*reference.sources, SourceFile(path="compiled.py", content=source)],
            "description": f"The definition's reference under torch.compile, mode {mode}.",
        }
    )


def _compiling(names: str, mode: str) -> str:
    return (
        "import torch\n\n"
        "from .main import run as reference\n\n"
        f'_compiled = torch.compile(reference, mode="{mode}")\n\n\n'
        f"def run({names}):\n"
        f"    return _compiled({names})\n"
    )
