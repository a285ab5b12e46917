"""Takes the second of its two launches out of the plan on its way to the judge."""

import dataclasses

from ._inside import module, once
from ._rows import in_halves

EXPECT = {
    "needs": "cuda",
    "twin": "clock/honest_two_launches",
    "gain": "half of the work",
    "refused": ["INTEGRITY_VIOLATION", "claimed"],
    "parts": ["_rows.py", "_inside.py"],
}


@once
def mount():
    recorded = module("candidate.process.recorded")
    honest = recorded.write_plan

    def forged(built):
        plan = built.plan.model_copy(update={"nodes": built.plan.nodes[:1], "edges": []})
        return honest(dataclasses.replace(built, plan=plan))

    recorded.write_plan = forged


def run(x, w, table, alpha, y, row):
    mount()
    in_halves(x, w, table, alpha, y, row)
