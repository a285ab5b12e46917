"""A server's end of the judge's stream, as small as tests need it, and plans for it."""

from __future__ import annotations

import json
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kernel_harness.tools.messages import frames
from kernel_harness.tools.messages import judge as wire_judge
from kernel_harness.tools.schema.evaluation import Evaluation
from kernel_harness.tools.schema.flashinfer_trace import Definition, Solution
from kernel_harness.tools.settings import candidate_environment

ANSWER_S = 90.0
GONE_WITHIN_S = 5.0
AFFINE = Path(__file__).parent / "adversarial" / "operators" / "affine"


class JudgeProcess:
    """A real judge.

    Args:
        device: 'cpu' or 'cuda:N'.
        cache: its cache folder.
    """

    def __init__(self, device: str, cache: Path) -> None:
        command = [sys.executable, "-m", "kernel_harness.tools.judge"]
        self.process = subprocess.Popen(
            [*command, "--device", device, "--cache", str(cache)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**candidate_environment(), "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        ready = self.read()
        assert isinstance(ready, wire_judge.Ready)
        self.ready = ready
        self.progress: list[wire_judge.Progress] = []

    def send(self, message: frames.Message) -> None:
        """Writes one frame."""
        assert self.process.stdin is not None
        self.process.stdin.write(frames.encode(message))
        self.process.stdin.flush()

    def read(self, timeout_s: float = ANSWER_S) -> Any:
        """Reads one frame; an error when there is none in time."""
        stream = self.process.stdout
        assert stream is not None
        deadline = time.monotonic() + timeout_s

        def exactly(count: int) -> bytes:
            parts = b""
            while len(parts) < count:
                left = max(deadline - time.monotonic(), 0)
                assert select.select([stream], [], [], left)[0], "the judge did not answer in time"
                part = os.read(stream.fileno(), count - len(parts))
                assert part, "the judge closed its stream"
                parts += part
            return parts

        (length,) = struct.unpack(">I", exactly(4))
        return frames.decode(wire_judge.from_judge, exactly(length))

    def ask(
        self,
        plan: wire_judge.EvaluatePlan,
        on_progress: Callable[[wire_judge.Progress], None] = lambda progress: None,
    ) -> wire_judge.JudgeReport | wire_judge.JudgeFault:
        """Has a plan carried out; its report or the judge's fault."""
        self.progress = []
        self.send(plan)
        while isinstance(message := self.read(), wire_judge.Progress | wire_judge.Drained):
            if isinstance(message, wire_judge.Progress):
                self.progress.append(message)
                on_progress(message)
        assert message.evaluation_id == plan.evaluation_id
        return message

    def evaluate(self, plan: wire_judge.EvaluatePlan) -> Evaluation:
        """Has a plan carried out; its record."""
        answer = self.ask(plan)
        assert isinstance(answer, wire_judge.JudgeReport), answer
        return Evaluation.model_validate(answer.evaluation)

    def evaluate_and_rest(self, plan: wire_judge.EvaluatePlan) -> Evaluation:
        """Has a plan carried out, and waits until the trial's processes have ended."""
        answer = self.ask(plan)
        assert isinstance(answer, wire_judge.JudgeReport), answer
        if answer.draining:
            assert isinstance(self.read(), wire_judge.Drained)
        return Evaluation.model_validate(answer.evaluation)

    def children(self) -> list[int]:
        """Ids of the processes that it started: zygotes and runners."""
        pid = self.process.pid
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def close(self) -> None:
        """Ends the judge by closing its stream; an error where a process of its own is left."""
        assert self.process.stdin is not None
        left = self.children()
        self.process.stdin.close()
        self.process.wait(20)
        deadline = time.monotonic() + GONE_WITHIN_S
        while any(os.path.exists(f"/proc/{pid}") for pid in left) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not [pid for pid in left if os.path.exists(f"/proc/{pid}")]


def read_definition(folder: Path) -> Definition:
    """The definition of an operator's folder."""
    return Definition.model_validate_json((folder / "definition.json").read_bytes())


def read_workloads(folder: Path) -> list[dict[str, Any]]:
    """The workloads of an operator's folder, as plans carry them."""
    lines = (folder / "workloads.jsonl").read_text().splitlines()
    return [json.loads(line)["workload"] for line in lines if line]


def make_solution(
    source: str | dict[str, str],
    *,
    definition: str,
    language: str = "python",
    binding: str | None = None,
    style: str = "destination",
    entry_point: str = "kernel.py::run",
    name: str = "under-test",
) -> Solution:
    """A solution of one or more files."""
    files = {"kernel.py": source} if isinstance(source, str) else source
    return Solution.model_validate(
        {
            "name": name,
            "definition": definition,
            "author": "tests",
            "spec": {
                "language": language,
                "binding": binding,
                "target_hardware": ["cuda"],
                "entry_point": entry_point,
                "destination_passing_style": style == "destination",
            },
            "sources": [{"path": path, "content": content} for path, content in files.items()],
        }
    )


def make_plan(
    solution: Solution,
    folder: Path = AFFINE,
    *,
    checks: wire_judge.Checks | None = None,
    baseline: Solution | None = None,
    workloads: list[dict[str, Any]] | None = None,
    generic: bool = False,
    **options: Any,
) -> wire_judge.EvaluatePlan:
    """A plan over an operator's folder; `generic` leaves out what the folder brings."""
    every = read_workloads(folder) if workloads is None else workloads
    quick = wire_judge.Checks(trials=1, families=1, timed=False)
    return wire_judge.EvaluatePlan(
        **{
            "evaluation_id": "ev-20260101-000000-00000000",
            "definition": read_definition(folder).model_dump(mode="json"),
            "operator_dir": None if generic else str(folder),
            "solution": solution.model_dump(mode="json"),
            "content_hash": solution.content_hash(),
            "baseline": baseline.model_dump(mode="json") if baseline else None,
            "baseline_hash": baseline.content_hash() if baseline else None,
            "scope": "smoke",
            "checks": checks or quick,
            "workloads": [wire_judge.PlannedWorkload(uuid=w["uuid"], workload=w) for w in every],
            "workload_digest": "0" * 64,
            **options,
        }
    )
