"""A judge for benchmarks of what is around judges: it passes every candidate after a set time.

    python benchmarks/scripted_judge.py --seconds 0.5   # and what a server adds

It speaks as a judge does, runs nothing and needs no GPU; its times are made up, with noise of 1 %.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from typing import Any

from kernel_harness.tools.messages.frames import (
    TRUSTED_FRAME_BYTES,
    Message,
    decode,
    encode,
    frame_length,
    recv_exactly,
)
from kernel_harness.tools.messages.judge import (
    EvaluatePlan,
    JudgeReport,
    PlannedWorkload,
    Progress,
    Ready,
    Shutdown,
    to_judge,
)

DEVICE = "scripted"
SAMPLES = 30


def _read() -> Message | None:
    header = sys.stdin.buffer.read(4)
    if len(header) < 4:
        return None
    length = frame_length(header, TRUSTED_FRAME_BYTES)
    return decode(to_judge, recv_exactly(sys.stdin.buffer.read, length))


def _say(message: Message) -> None:
    sys.stdout.buffer.write(encode(message))
    sys.stdout.buffer.flush()


def _times(rng: random.Random, us: float) -> dict[str, Any]:
    cold = [round(1_000 * us * rng.gauss(1, 0.01)) for _ in range(SAMPLES)]
    return {"timer": "cupti", "cold_ns": cold, "block": [n // 10 for n in range(SAMPLES)]}


def _result(planned: PlannedWorkload, rng: random.Random, *, compared: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "uuid": planned.uuid,
        "axes": planned.workload["axes"],
        "status": "PASSED",
        "calls_checked": 1,
        "measurement": _times(rng, 10.0),
    }
    if compared:
        found["baseline_measurement"] = _times(rng, 10.0)
    return found


def _judged(plan: EvaluatePlan, seconds: float) -> JudgeReport:
    _say(Progress(evaluation_id=plan.evaluation_id, done=1, total=2, stage="x", message="judging"))
    time.sleep(seconds)
    rng = random.Random(plan.evaluation_id)
    compared = plan.baseline is not None
    evaluation = {
        "evaluation_id": plan.evaluation_id,
        "definition": plan.definition["name"],
        "solution_name": plan.solution["name"],
        "language": plan.solution["spec"]["language"],
        "content_hash": plan.content_hash,
        "workload_digest": plan.workload_digest,
        "scope": plan.scope,
        "status": "PASSED",
        "stage": "done",
        "workloads": [_result(planned, rng, compared=compared) for planned in plan.workloads],
        "evidence": {
            "started_at": "2026-01-01T00:00:00+00:00",
            "command": plan.command,
            "device": {"name": DEVICE, "executor": "cuda"},
            "seconds": {"scripted": seconds},
        },
    }
    return JudgeReport(evaluation_id=plan.evaluation_id, evaluation=evaluation)


def main() -> None:
    """Answers plans until the server ends."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each evaluation")
    choices, _ = parser.parse_known_args()
    info = {"name": DEVICE, "executor": "cuda"}
    _say(Ready(device=info, versions={}, isolation={"level": "scripted"}, seconds=0.0))
    while True:
        message = _read()
        if message is None or isinstance(message, Shutdown):
            return
        if isinstance(message, EvaluatePlan):
            _say(_judged(message, choices.seconds))


if __name__ == "__main__":
    main()
