"""The programs that a candidate is compared with on a ladder, the plainest first. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ...schema.flashinfer_trace import Solution, SourceFile
from ...workloads.operators import Operator

LADDER = "ladder"
EAGER, COMPILED, AUTOTUNED = "PyTorch eager", "torch.compile", "torch.compile max-autotune"
BASELINE, PEER = "baseline", "peer"
MODES = {COMPILED: "default", AUTOTUNED: "max-autotune-no-cudagraphs"}
"""Torch's own graphs return the same memory in each call, which callers do not expect."""


@dataclass(frozen=True)
class Rung:
    """One program of the ladder, and what a table calls it."""

    name: str
    solution: Solution


def rungs_of(operator: Operator, baseline: Solution | None) -> list[Rung]:
    """The reference three times, the peers, and the baseline where it is none of them."""
    found = [Rung(EAGER, operator.reference())]
    found += [Rung(name, compiled_reference(operator, mode)) for name, mode in MODES.items()]
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
