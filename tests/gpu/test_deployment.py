"""Right programs that cannot be used as frameworks use one, a planted one for each fault."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kernel_harness.tools.judge.deployment.checks import CLAIMS, COMPILED, GRAPH, MEMORY, WAITS
from kernel_harness.tools.messages.judge import Checks
from kernel_harness.tools.schema.evaluation import Severity, Status

from ..judging import JudgeProcess, make_plan, make_solution

pytestmark = [pytest.mark.gpu, pytest.mark.process]

HONEST = """
import torch

def run(x, w, table, alpha, y, row):
    y.copy_(x[table.long()] * w * alpha + 1.0)
    row.copy_(y.sum(dim=-1))
"""
BY_VALUE = """
import torch

def run(x, w, table, alpha):
    y = x[table.long()] * w * alpha + 1.0
    return y, y.sum(dim=-1)
"""
ON_DEFAULT_STREAM = HONEST.replace(
    "    y.copy_", "    with torch.cuda.stream(torch.cuda.default_stream()):\n        y.copy_"
)
PLANTED = {
    "honest": (HONEST, "destination", set()),
    "honest_by_value": (BY_VALUE, "value", set()),
    "waits": (f"{HONEST}    torch.cuda.synchronize()\n", "destination", {WAITS, GRAPH}),
    "default_stream": (ON_DEFAULT_STREAM, "destination", {GRAPH}),
    "takes_memory": (
        f"{HONEST}    torch.empty(256 << 20, dtype=torch.uint8, device=y.device)\n",
        "destination",
        {MEMORY},
    ),
    "other_strides": (
        BY_VALUE.replace("return y,", "return y.t().contiguous().t(),"),
        "value",
        {COMPILED},
    ),
}


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JudgeProcess]:
    process = JudgeProcess("cuda:0", tmp_path_factory.mktemp("judge-cache"))
    yield process
    process.close()


@pytest.mark.parametrize("name", PLANTED)
def test_each_planted_fault_is_found_and_honest_programs_have_none(judge, name):
    source, style, faults = PLANTED[name]
    solution = make_solution(source, definition="affine_n64", style=style)
    plan = make_plan(solution, checks=Checks(trials=1, timed=False, deployment=True))
    record = judge.evaluate(plan)
    assert record.status is Status.PASSED, record.failure
    found = record.integrity.findings
    warned = {f.claim: f.message for f in found if f.severity is Severity.WARNING}
    assert set(warned) == faults, (warned, record.integrity.not_run)
    assert set(CLAIMS) - faults <= {*record.integrity.checks}
