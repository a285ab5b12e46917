"""Answers on the machine, definitions, workloads, workspaces and slices, without a server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kernel_harness.server.answers.workloads import (
    MEMBERS_SHOWN,
    definitions_answer,
    environment_answer,
    shapes_answer,
    slice_answer,
    workloads_answer,
    workspace_answer,
)
from kernel_harness.tools.devices.environment import EnvironmentReport, Tool
from kernel_harness.tools.documents import SLICE_CHARACTERS, ReportSlice
from kernel_harness.tools.schema.evaluation import DeviceInfo, Executor, Isolation
from kernel_harness.tools.schema.flashinfer_trace import Definition, Workload
from kernel_harness.tools.workloads.dataset import Dataset
from kernel_harness.tools.workloads.listing import list_definitions, list_workloads
from kernel_harness.tools.workloads.operators import Operator
from kernel_harness.tools.workloads.regimes import sample_shapes
from kernel_harness.tools.workloads.workspace import Workspace

KERNELS = Path(__file__).resolve().parents[3] / "kernels"
SHIPPED = ["dsa_sparse_attention", "dsa_topk", "gdn_decode", "gdn_prefill", "moe"]


def operator(count: int) -> Operator:
    tensor = {"shape": ["m"], "dtype": "float32", "description": "t" * 400}
    definition = {
        "name": "double", "op_type": "test", "axes": {"m": {"type": "var"}},
        "inputs": {"x": tensor, "scale": {"shape": None, "dtype": "float32"}},
        "outputs": {"y": tensor}, "reference": "def run(x, scale):\n    return x * scale\n",
        "description": "d" * 500,
    }  # fmt: skip
    kinds = {"x": {"type": "random"}, "scale": {"type": "scalar", "value": 2.0}}
    workloads = tuple(
        Workload.model_validate({"uuid": f"{m:036}", "axes": {"m": m}, "inputs": kinds})
        for m in range(1, count + 1)
    )
    return Operator(definition=Definition.model_validate(definition), workloads=workloads)


def environment(**changes: object) -> EnvironmentReport:
    fields = {
        "devices": [], "executor": Executor.INTERPRETER, "device": "cpu", "toolchain": [],
        "isolation": None, "isolation_note": "No judge has run yet.", "libraries": {},
        "python": "3.12", "archive_path": "/a", "workspaces_path": "/w", "dataset_paths": [],
        "dataset_problems": [], "notes": [],
    }  # fmt: skip
    return EnvironmentReport.model_validate(fields | changes)


@pytest.mark.parametrize(("device", "here"), [("cuda:0", True), ("cuda:1", False)])
def test_a_device_that_is_not_here_is_never_said_to_be_timed_on(device, here):
    gpu = DeviceInfo(name="NVIDIA H200", executor=Executor.CUDA)
    report = environment(devices=[gpu], executor=Executor.CUDA, device=device)
    first = environment_answer(report).summary.splitlines()[0]
    assert first.startswith("Candidates run" if here else "Nothing can be judged: the setting")
    assert device in first


@pytest.mark.parametrize("executor", list(Executor))
def test_over_a_cluster_nothing_is_said_to_be_judged_here(executor):
    """A server on a laptop said that candidates are judged there."""
    report = environment(executor=executor)
    first = environment_answer(report, cluster="ray://head:10001").summary.splitlines()[0]
    assert "on the nodes of ray://head:10001, not on this machine" in first
    assert ("timed" in first) is (executor is Executor.CUDA) is ("null" not in first)


def test_an_operator_that_is_fit_is_said_to_be_checked_and_how():
    """Nothing was said, as of a definition that nobody had asked about."""
    answer = environment_answer(environment(), 0, operator(3))
    said = "Checked double, nothing is wrong: its reference and 3 workloads were read"
    assert said in answer.summary and answer.fit is True


def test_an_operator_with_problems_is_unfit_and_of_no_operator_it_is_not_said():
    """A dataset's other problems are none of it."""
    report = environment(dataset_problems=["affine: no such thing", "of another"])
    assert environment_answer(report, 1).fit is False
    assert environment_answer(report).fit is None
    assert environment_answer(report, 0, operator(3)).fit is True


def test_only_a_tool_that_is_missing_has_a_cost_and_a_remedy():
    costs = {"costs": "no CUDA sources", "remedy": "Install it."}
    tools = [
        Tool(name="nvcc", found=False, **costs),
        Tool(name="triton", found=True, version="3", **costs),
    ]
    answer = environment_answer(environment(toolchain=tools))
    missing, found = answer.toolchain
    assert (missing.costs, missing.remedy) == ("no CUDA sources", "Install it.")
    assert (found.version, found.costs, found.remedy) == ("3", None, None)
    assert "Missing nvcc: no CUDA sources. Install it." in answer.summary
    assert "triton" not in answer.summary


def test_isolation_is_unknown_until_a_judge_has_run():
    unknown = environment_answer(environment()).isolation
    assert (unknown.level, unknown.note) == ("unknown", "No judge has run yet.")
    weak = Isolation(level="weaker", missing=["userns"])
    known = environment_answer(environment(isolation=weak)).isolation
    assert (known.level, known.missing) == ("weaker", ["userns"])


def test_a_device_has_its_memory_in_gib_and_problems_are_bounded():
    device = DeviceInfo(
        name="NVIDIA H200", executor=Executor.CUDA, sm_count=132, memory_bytes=141 << 30
    )
    answer = environment_answer(
        environment(devices=[device], executor=Executor.CUDA, dataset_problems=["p" * 900] * 30)
    )
    (part,) = answer.devices
    assert (part.name, part.sm_count, part.memory_gib) == ("NVIDIA H200", 132, 141.0)
    assert len(answer.dataset_problems) == 20 and len(answer.dataset_problems[0]) <= 400
    assert "25 more problems" in answer.summary


def test_definitions_come_with_the_ranges_of_their_axes_a_page_at_a_time():
    known = Dataset({f"d{n}": operator(n) for n in (1, 7)}, ())
    first = definitions_answer(list_definitions(known), 0, 1)
    assert (len(first.definitions), first.total, first.next_cursor) == (1, 2, "1")
    last = definitions_answer(list_definitions(known), 1, 1)
    (entry,) = last.definitions
    assert last.next_cursor is None and entry.workloads == 7
    assert [(a.name, a.least, a.most, a.distinct) for a in entry.varying_axes] == [("m", 1, 7, 7)]
    assert 0 < len(entry.description or "") <= 160


def test_descriptions_and_kinds_of_inputs_are_shown_when_asked_for():
    listing = list_workloads(operator(3), {}, {}, None, 30)
    concise = workloads_answer(listing, 0, "concise")
    assert all(not workload.inputs for workload in concise.workloads)
    assert [(t.name, t.shape, t.dtype) for t in concise.inputs] == [
        ("x", ["m"], "float32"),
        ("scale", None, "float32"),
    ]
    assert concise.inputs[0].description is None
    detailed = workloads_answer(listing, 0, "detailed")
    assert detailed.workloads[0].inputs == {"x": "random", "scale": "scalar"}
    assert 0 < len(detailed.inputs[0].description or "") <= 300


def test_families_of_inputs_that_may_be_timed_are_listed_and_the_ranked_one_first():
    usual = operator(3)
    offered = {"typical": "as usual", "even": "evenly"}
    policy = usual.policy.model_copy(update={"input_families": offered})
    listing = list_workloads(replace(usual, policy=policy), {}, {}, None, 30)
    answer = workloads_answer(listing, 0, "detailed")
    assert list(answer.input_families.items()) == list(offered.items())
    assert "Timed on inputs typical, which rank" in answer.summary and "even" in answer.summary
    alone = workloads_answer(list_workloads(usual, {}, {}, None, 30), 0, "detailed")
    assert not alone.input_families and "Timed on inputs" not in alone.summary


def test_a_definition_without_a_usable_workload_says_what_is_wrong_with_its_files():
    listing = list_workloads(operator(1), {}, {}, None, 30)
    told = ["w.jsonl:1: no size for m", "w.jsonl:2: no JSON"]
    none = listing.model_copy(update={"workloads": [], "total": 0, "problems": told})
    summary = workloads_answer(none, 0, "concise").summary
    assert "2 problems in its files: w.jsonl:1: no size for m." in summary
    assert "holds 0 to 0 of 0" in summary
    assert "problem" not in workloads_answer(listing, 0, "concise").summary


def test_a_listing_counts_the_members_of_a_regime_and_names_none():
    listing = list_workloads(operator(30), {}, {}, None, 30)
    answer = workloads_answer(listing, 0, "concise")
    assert sum(regime.count for regime in answer.regimes) == 30
    assert all(not regime.members and not regime.axes for regime in answer.regimes)


def test_a_page_that_had_to_be_cut_continues_where_it_ended():
    listing = list_workloads(operator(190), {}, {}, None, 200)
    answer = workloads_answer(listing, 0, "detailed")
    shown = len(answer.workloads)
    assert 0 < shown < 190 and answer.next_cursor == str(shown)


@pytest.mark.parametrize("name", SHIPPED)
def test_the_first_page_of_a_shipped_operator_is_short_and_the_next_begins_where_it_ends(name: str):
    """Of prefill, whose workloads have three axes, ten rows were 1,020 tokens."""
    dataset = Dataset.load(KERNELS, ())
    listing = list_workloads(dataset.operator(name), {}, {}, None, 10)
    first = workloads_answer(listing, 0, "concise")
    shown = len(first.workloads)
    assert len(first.model_dump_json()) <= 3_600 and 4 <= shown <= 10
    assert first.next_cursor == str(shown)
    assert f"holds 1 to {shown} of" in first.summary


@pytest.mark.parametrize("detail", ["concise", "detailed"])
def test_a_sample_names_the_first_members_of_each_regime(detail):
    sample = sample_shapes(operator(60))
    answer = shapes_answer("double", sample, detail)
    assert sum(regime.count for regime in answer.regimes) == 60
    for part, regime in zip(answer.regimes, sample.regimes, strict=True):
        assert part.members == regime.members[: MEMBERS_SHOWN[detail]]
        assert part.axes == {axis: list(span) for axis, span in regime.axes.items()}
    assert answer.weights == pytest.approx(sample.weights, rel=1e-3)
    assert answer.basis == sample.basis


def test_a_workspace_says_which_file_to_edit_and_what_to_call():
    opened = Workspace(
        path="/w/double-1",
        definition="double",
        name="double-1",
        language="triton",
        entry_point="kernel.py::run",
        files=["kernel.py"],
        started_from="template",
        notes="n" * 9000,
    )
    answer = workspace_answer(opened)
    assert answer.workspace == "/w/double-1" and 0 < len(answer.notes) <= 8_000
    assert "Edit kernel.py " in answer.summary and "workspace='double-1'" in answer.summary


@pytest.mark.parametrize("letter", ["x", '"', "字", "\n"])
def test_slices_of_any_text_fit_a_client_and_join_to_the_whole(letter: str) -> None:
    whole = "".join(f"{n}{letter * 40}" for n in range(1_500))
    joined, offset = "", 0
    while True:
        text = whole[offset : offset + SLICE_CHARACTERS]
        end = offset + len(text)
        piece = ReportSlice(
            uri="kernel-harness://evaluation/x",
            section=None,
            sections=["log"],
            text=text,
            offset=offset,
            total_characters=len(whole),
            next_offset=end if end < len(whole) else None,
        )
        answer = slice_answer(piece)
        assert len(answer.model_dump_json().encode()) < 10_000 * 3
        joined += answer.text
        if answer.next_offset is None:
            break
        offset = answer.next_offset
    assert joined == whole
