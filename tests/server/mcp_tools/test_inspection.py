"""One call looked into, through a client: what differs is named, and that it is no verdict."""

from __future__ import annotations

from typing import Any

import pytest

from kernel_harness.tools.messages.judge import CallInspected, ComparedTensor, InspectCall

from ..calls import good, refused
from ..scripted import ScriptedHarness, solution

pytestmark = pytest.mark.anyio
ROWS = [
    ComparedTensor(
        name="output y",
        shape=[2, 128],
        dtype="bfloat16",
        reference="output y",
        reference_shape=[2, 128],
        equal=False,
        rms_relative=0.5,
        max_absolute=2.0,
        worst_index=[1, 3],
        got="2",
        expected="1",
    ),
    ComparedTensor(
        name="output z",
        shape=[2],
        dtype="float32",
        reference="output z",
        reference_shape=[2],
        equal=False,
        rms_relative=3e-7,
        worst_index=[1],
        got="1.85369",
        expected="1.85369",
    ),
    ComparedTensor(name="scale", shape=[2], dtype="float32", not_finite=1),
    ComparedTensor(reference="variance", reference_shape=[2, 1], reference_dtype="float32"),
]


@pytest.fixture
def asked(harness: ScriptedHarness, monkeypatch: pytest.MonkeyPatch) -> list[InspectCall]:
    seen: list[InspectCall] = []

    async def ask(device: str, request: InspectCall, kind: Any, progress: Any) -> CallInspected:
        seen.append(request)
        if request.family:
            words = "The operator has no input family 'odd'."
            return CallInspected(request_id=request.request_id, not_made=words)
        unpaired = ["the candidate names no tensor 'nope'"] if request.pairs else []
        return CallInspected(
            request_id=request.request_id, compared=ROWS, left_out=["big [9]"], unpaired=unpaired
        )

    monkeypatch.setattr(harness.pool, "ask", ask)
    return seen


async def test_what_differs_is_named_and_it_is_said_that_it_is_no_verdict(
    connect: Any, asked: list[InspectCall], harness: ScriptedHarness
) -> None:
    async with connect() as client:
        found = await good(client, "inspect_call", solution=solution(), axes={"rows": 3})
        unpaired = await good(client, "inspect_call", solution=solution(), pairs={"nope": "y"})
        odd = await refused(client, "inspect_call", solution=solution(), family="odd")
        none = await refused(client, "inspect_call", solution=solution(), axes={"hidden": 3})
    assert found["summary"].startswith("One call, looked into: no verdict")
    for words in ("which no workload has", "output y", "[1, 3]: 2, not 1", "variance", "big [9]"):
        assert words in found["summary"]
    assert "Not paired: the candidate names no tensor 'nope'." in unpaired["summary"]
    assert "Not paired" not in found["summary"]
    assert "[1]: 1.85369, differs in later digits" in found["summary"]
    assert found["axes"] == {"rows": 3} and "status" not in found
    assert asked[0].workloads[0].workload["axes"] == {"rows": 3}
    assert asked[0].reference["sources"][0]["content"].startswith("import torch")
    assert "Nothing was called: The operator has no input family 'odd'." in odd
    assert "varying axis" in none
    assert not list(harness.records.ids()), "nothing of it is a record"


async def test_an_evaluation_of_some_workloads_names_those_alone(
    connect: Any, harness: ScriptedHarness
) -> None:
    plans: list[Any] = []
    scripted = harness.verdict
    harness.verdict = lambda plan: (plans.append(plan), scripted(plan))[1]
    async with connect() as client:
        await good(
            client, "evaluate_kernel", solution=solution(), workloads=[{"rows": 16}, "00000003"]
        )
        none = await refused(
            client, "evaluate_kernel", solution=solution(), workloads=[{"rows": 5}]
        )
    assert [planned.workload["axes"]["rows"] for planned in plans[0].workloads] == [16, 64]
    assert plans[0].left_out and "inspect_call" in none
