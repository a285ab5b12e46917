"""Records of evaluations as a suite's score reads them."""

from __future__ import annotations

import itertools
from typing import Any

from kernel_harness.tools.schema.evaluation import Evaluation
from kernel_harness.tools.workloads.operators import Operator

FAILURE = {"stage": "correctness", "kind": "wrong_values", "message": "It is wrong.", "remedy": "?"}
_numbers = itertools.count(1)


def verdict(
    operator: Operator,
    status: str = "PASSED",
    speedup: float | None = None,
    *,
    solution: str = "mine-sample-0",
    device: str = "",
    baseline: str = "torch_eager",
    strict: bool = True,
    stage: str = "correctness",
    **fields: Any,
) -> Evaluation:
    """A record of a verdict on an operator's one workload; later calls give later records."""
    number = next(_numbers)
    on_gpu = speedup is not None
    name = device or ("NVIDIA H200" if on_gpu else "CPU")
    failed = {"failure": {**FAILURE, "stage": stage}} if status != "PASSED" else {}
    errors = [{"output": "out0", "compatible": True, "strict": strict}]
    workload = {"uuid": operator.workloads[0].uuid, "axes": {}, "status": status, "errors": errors}
    if on_gpu and status == "PASSED":
        workload["latency_us"] = 10.0
    return Evaluation.model_validate(
        {
            "evaluation_id": f"ev-20260101-{number:06}-00000000",
            "definition": operator.name,
            "solution_name": solution,
            "language": "python",
            "content_hash": f"{number:064}",
            "workload_digest": operator.digest,
            "scope": "full",
            "status": status,
            "stage": "done",
            "workloads": [workload],
            "totals": {"geometric_mean_ratio": speedup},
            "baseline": baseline,
            "evidence": {
                "started_at": "2026-01-01T00:00:00Z",
                "device": {"name": name, "executor": "cuda" if on_gpu else "interpreter"},
            },
            **failed,
            **fields,
        }
    )
