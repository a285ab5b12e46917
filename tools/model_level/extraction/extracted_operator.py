"""What is extracted of a program, and what came of it, as both cross between processes."""

from __future__ import annotations

from dataclasses import dataclass

from ..verification.verified_runs import KernelTarget


@dataclass(frozen=True)
class ExtractRequest:
    """What is recorded.

    Args:
        target: name of a function, or of a module's forward.
        where: paths of modules in the model whose forwards are recorded; empty for a function.
        name: of the operator.
        out: its folder, which is made.
        answer: a file for what was written.
    """

    program: tuple[str, ...]
    step: str | None
    target: str
    where: tuple[str, ...]
    name: str
    out: str
    answer: str


@dataclass(frozen=True)
class ExtractedOperator:
    """What was written.

    Args:
        workloads: how many shapes.
        calls: for which they stand.
        reference: "source" or "graph": what the reference is made of.
        target: what the operator stands for; None where a call's inputs cannot be named.
        others: further structures that calls had, which are not in the folder.
    """

    folder: str
    workloads: int
    calls: int
    reference: str
    target: KernelTarget | None
    others: int
