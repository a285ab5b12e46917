"""A judge that plays a part, for tests of the pool: the solution's name says which."""

import os
import random
import re
import sys
import time

from kernel_harness.tools.messages import frames
from kernel_harness.tools.messages import judge as wire_judge


def read():
    header = frames.recv_exactly(sys.stdin.buffer.read, 4)
    if not header:
        sys.exit(0)
    length = frames.frame_length(header, frames.TRUSTED_FRAME_BYTES)
    return frames.decode(wire_judge.to_judge, frames.recv_exactly(sys.stdin.buffer.read, length))


def say(message):
    sys.stdout.buffer.write(frames.encode(message))
    sys.stdout.buffer.flush()


def spun(solution, rng):
    """Three blocks' samples of a spinning kernel: a microsecond, 2 ns a step, 1 % of noise."""
    steps = int(re.findall(r"STEPS = (\d+)", solution["sources"][0]["content"])[0])
    cold = [round((1_000 + 2 * steps) * rng.gauss(1, 0.01)) for _ in range(30)]
    return {"timer": "cupti", "cold_ns": cold, "block": [i // 10 for i in range(30)]}


def result(plan, planned):
    """One workload's; timed where a spinning kernel is judged."""
    found = {"uuid": planned.uuid, "axes": planned.workload["axes"], "calls_checked": 1}
    if plan.definition["name"] == "spin_scale":
        rng = random.Random(planned.uuid)
        found["measurement"] = spun(plan.solution, rng)
        found["baseline_measurement"] = spun(plan.baseline, rng)
    return found | {"status": "PASSED"}


def evaluation(plan, status="PASSED", failure=None):
    """A record; of the GPU X for a solution named 'on_X', and where X alone is shown."""
    name = plan.solution["name"]
    device = None
    if plan.definition["name"] == "spin_scale":
        device = {"name": "NVIDIA B200", "executor": "cuda"}
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "")  # noqa: TID251
    if ": " in shown:
        device = {"name": shown.partition(": ")[2], "executor": "cuda", "uuid": shown}
    if name.startswith("on_"):
        device = {"name": name.removeprefix("on_"), "executor": "cuda"}
    return {
        "evaluation_id": plan.evaluation_id,
        "definition": plan.definition["name"],
        "solution_name": plan.solution["name"],
        "language": plan.solution["spec"]["language"],
        "content_hash": plan.content_hash,
        "workload_digest": plan.workload_digest,
        "scope": plan.scope,
        "status": status,
        "stage": "done",
        "failure": failure,
        "workloads": [result(plan, planned) for planned in plan.workloads],
        "evidence": {
            "started_at": "2026-01-01T00:00:00+00:00",
            "command": plan.command,
            "device": device,
        },
    }


def play(plan):
    part = plan.solution["name"]
    say(
        wire_judge.Progress(
            evaluation_id=plan.evaluation_id, done=1, total=2, stage="compile", message="built"
        )
    )
    if part == "judge_dies":
        os._exit(3)
    if part == "judge_faults":
        say(wire_judge.JudgeFault(evaluation_id=plan.evaluation_id, what="The disk is full"))
        return
    if part == "operator_faults":
        say(
            wire_judge.JudgeFault(
                evaluation_id=plan.evaluation_id,
                of_dataset=True,
                what="The reference is random",
                where="d.json",
                remedy="Seed it.",
            )
        )
        return
    if part == "slow":
        time.sleep(0.6)
    if part == "hangs":
        message = read()
        assert isinstance(message, wire_judge.Cancel)
        say(wire_judge.JudgeFault(evaluation_id=plan.evaluation_id, what="Cancelled"))
        return
    if part == "deaf":
        time.sleep(60)
    drains = part in ("drains", "never_drains", "drains_when_hurried")
    say(
        wire_judge.JudgeReport(
            evaluation_id=plan.evaluation_id, evaluation=evaluation(plan), draining=drains
        )
    )
    if part == "drains":
        time.sleep(0.5)
        say(wire_judge.Drained(evaluation_id=plan.evaluation_id))
    if part == "drains_when_hurried":
        hurry = read()
        assert isinstance(hurry, wire_judge.Hurry) and hurry.evaluation_id == plan.evaluation_id
        say(wire_judge.Drained(evaluation_id=plan.evaluation_id))


if "--refuse-to-start" in sys.argv:
    sys.stderr.write("no torch here\n")
    sys.exit(1)
say(
    wire_judge.Ready(
        device={"name": "scripted", "executor": "interpreter"},
        versions={},
        isolation={"level": "strong"},
        seconds=0.0,
    )
)
while True:
    received = read()
    if isinstance(received, wire_judge.Shutdown):
        sys.exit(0)
    if isinstance(received, wire_judge.EvaluatePlan):
        play(received)
    if isinstance(received, wire_judge.CheckOperator):
        problems = [f"{received.definition['name']} is scripted"]
        say(wire_judge.OperatorChecked(request_id=received.request_id, problems=problems))
    if isinstance(received, wire_judge.CompileCode):
        path = os.path.join(received.folder, "code.json")
        with open(path, "w") as file:
            file.write('{"modules": []}')
        say(wire_judge.CodeCompiled(request_id=received.request_id, path=path))
    if isinstance(received, wire_judge.RecordCalls):
        call = wire_judge.RecordedFile(reason="scripted")
        for request_id in ("one that was cancelled", received.request_id):
            calls = [call] * len(received.workloads)
            say(wire_judge.CallsRecorded(request_id=request_id, calls=calls))
