"""The page that a dataset carries: what its figures are, and how the fastest kernel is picked."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ...text import one_line
from ..store.manifest import harness_version

if TYPE_CHECKING:
    from .dataset import ExportedDataset, OperatorPart

_HEAD = """# A FlashInfer-Trace dataset

Written by kernel-harness {version} from its archive: {counts}.
{device}

## How the figures are meant

`latency_ms` is a GPU time: the median span of a call with a cold L2, in milliseconds, or what else
the operator's policy ranks by. `reference_latency_ms` is one latency for each workload, the same
for all solutions, so that the order by `speedup_factor` is the order by latency. What was timed is
in `correctness.extra`: `reference` is `definition` for the definition's own PyTorch code,
`baseline` for the solution that the operator's results are compared to, `slowest` where neither was
timed: then the slowest solution on that workload has 1.0. `reference_name` names it. Speed-ups over
different references are not comparable.

An error of a pass that was not measured is `Infinity` (or, written with `--norm-errors`, in norm:
the worst row's), and `extra` says so under the error's name: every element was within the
operator's criterion, but how large the largest relative error is was not asked. An error of a
failure that was not measured is `NaN`. `get_best_trace` admits relative errors up to 1e-2 and
`apply` up to 1e-5 where nothing else is said, which few kernels in 16 bits keep where values are
near zero. Have the verdict decide instead:

```python
import math

from flashinfer_bench import TraceSet
from flashinfer_bench.apply import ApplyConfig, ApplyConfigRegistry

traces = TraceSet.from_path("{folder}")
best = traces.get_best_trace(name, axes, max_abs_error=math.inf, max_rel_error=math.inf)
config = ApplyConfigRegistry(default=ApplyConfig(max_atol=math.inf, max_rtol=math.inf))
```

`get_best_trace` without `axes` names the largest speed-up on any one workload, which need not be
the solution that is fastest on all of them.

## Operators

| operator | workloads | solutions | passed lines | speed-ups over | its inputs |
| --- | --- | --- | --- | --- | --- |
{rows}
{inputs}
## Left out

{left_out}
"""

_INPUTS = """
Inputs marked *made by code* are drawn by the operator's `inputs.py` in kernel-harness: the format
has no word for how. Where a workload calls such an input `random`, `flashinfer-bench run` would
draw it from a normal distribution, or as any integers, which is another workload. Latencies here
are of the inputs as the operator means them.
"""


def page(exported: ExportedDataset) -> str:
    """README.md of a dataset."""
    device = (
        f"All traces are of one device: {exported.gpu}."
        if exported.gpu
        else "There are no traces, for nothing of it was timed on a GPU."
    )
    left_out = [f"- {count} {reason}" for reason, count in sorted(exported.left_out.items())]
    made = any(_made_by_code(part) for part in exported.parts)
    return _HEAD.format(
        version=harness_version(),
        counts=exported.count_words,
        device=device,
        folder=exported.folder.name,
        rows="\n".join(_row(part) for part in exported.parts),
        inputs=_INPUTS if made else "",
        left_out="\n".join(left_out) or "Nothing.",
    )


def references(part: OperatorPart) -> Counter[str]:
    """Kind and name of what an operator's speed-ups are over, with how many lines."""
    extras = (t.evaluation.correctness for t in part.passed if t.evaluation)
    found = (c.extra for c in extras if c and c.extra and "reference" in c.extra)
    return Counter(
        "slowest" if e["reference"] == "slowest" else f"{e['reference']} {e['reference_name']}"
        for e in found
    )


def _row(part: OperatorPart) -> str:
    over = ", ".join(f"{words} ({count})" for words, count in references(part).most_common())
    made = "made by code" if _made_by_code(part) else "as the format says"
    cells = [
        part.operator.name,
        str(len(part.operator.workloads)),
        str(len(part.solutions)),
        str(len(part.passed)),
        over or "–",
        made,
    ]
    plain = (one_line(cell, 400).replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(plain)} |"


def _made_by_code(part: OperatorPart) -> bool:
    folder = part.operator.folder
    return folder is not None and (folder / "inputs.py").is_file()
