"""Solutions of a collected dataset, judged as any dataset's are."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kernel_harness.tools.datasets.jobs import Chosen, jobs_by_folder
from kernel_harness.tools.datasets.run import DatasetRun, JobResult, RunOptions
from kernel_harness.tools.datasets.trace_writer import TraceWriter
from kernel_harness.tools.harness import Harness
from kernel_harness.tools.schema.evaluation import Scope
from kernel_harness.tools.settings import Settings

from ..datasets.folders import DatasetFolder
from .conftest import definition_in

RIGHT = """{reference}


def run({arguments}, output):
    output.copy_(reference({arguments}))
"""


def judged(collected: Path, data: Path) -> dict[str, JobResult]:
    """Verdicts on the reference itself, and on the half of what it gives.

    Args:
        collected: a dataset of one definition with one output.
        data: a folder for what is recorded.
    """
    definition = definition_in(collected)
    folder = DatasetFolder(collected)
    reference = definition.reference.replace("def run(", "def reference(")
    right = RIGHT.format(reference=reference, arguments=", ".join(definition.inputs))
    for name, source in (("right", right), ("wrong", right + "    output.mul_(0.5)\n")):
        folder.solution(name, definition=definition.name, op_type=definition.op_type, source=source)
    harness = Harness.open(Settings(data_dir=data, dataset=(collected,), warm_ahead=False))

    async def ran() -> list[JobResult]:
        jobs = jobs_by_folder({collected: harness.dataset}, Chosen())[collected]
        options = RunOptions(scope=Scope.SMOKE)
        evaluators = {harness.device: harness.evaluations}
        run = DatasetRun(evaluators, TraceWriter(collected), options)
        try:
            return await run.run(jobs)
        finally:
            await harness.aclose()

    return {result.solution: result for result in asyncio.run(ran())}
